"""What a language model's own generation_config.json asks for. Nothing here generates by it: pages show it, beside options
that decide alone."""

import json
from typing import Any

from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_folder

FILE = "generation_config.json"
NEUTRAL: dict[str, Any] = {
    "do_sample": False,
    "early_stopping": False,
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "diversity_penalty": 0.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "max_length": 20,
    "min_length": 0,
    "use_cache": True,
    "remove_invalid_values": False,
    "output_scores": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "return_dict_in_generate": False,
}
"""Transformers' defaults: what does nothing."""
NO_OPTIONS = ("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "_from_model_config")
MOST_CHARACTERS = 60


def generation_settings(language_model: LanguageModel) -> dict[str, Any]:
    """The options of its generation_config.json that differ from Transformers' defaults; {} without a readable one."""
    try:
        held = json.loads((language_model_folder(language_model.pk) / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(held, dict):
        return {}
    return {
        name: value
        for name, value in sorted(held.items())
        if name not in NO_OPTIONS and value not in (None, [], {}) and value != NEUTRAL.get(name)
    }


def generation_settings_said(language_model: LanguageModel) -> list[tuple[str, str]]:
    """The same for pages: name and value, long ones cut short."""
    return [(name, _said(value)) for name, value in generation_settings(language_model).items()]


def _said(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{len(value):,} entries" if isinstance(value, list | dict) else f"{text[:MOST_CHARACTERS]}…"
