"""How tokens are drawn while steering: by the options of the Spec alone.

A model's generation_config.json may ask for beams, penalties, bans or other warpers. Transformers fills whatever a caller
leaves open from there, even where a GenerationConfig is passed. Here it is out of the way while a text is written: the page
shows what it holds, and two models that differ in it alone write the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from workers.engine.language_models.loading import first_token_id
from workers.engine.specs.steering import SteerSpec


def generation_config(spec: SteerSpec, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """What the Spec says; everything else neutral. Temperature 0 takes the likeliest token each time.

    A text ends at the tokens that config.json and tokenizer call its end.
    """
    sampling = {"do_sample": False}
    if spec.temperature > 0:
        sampling = {"do_sample": True, "temperature": spec.temperature, "top_p": spec.top_p, "top_k": spec.top_k}
    pad_id = tokenizer.pad_token_id
    return GenerationConfig(
        max_new_tokens=spec.max_new_tokens,
        repetition_penalty=spec.repetition_penalty,
        eos_token_id=_end_ids(model, tokenizer) or None,
        pad_token_id=first_token_id(tokenizer) if pad_id is None else pad_id,
        **sampling,
    )


@contextmanager
def generating_by(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """While open, `config` stands in for the model's own."""
    own = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = own


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    named = getattr(model.config.get_text_config(), "eos_token_id", None)
    ids = {*(named if isinstance(named, list | tuple) else [named]), tokenizer.eos_token_id}
    return sorted(ids - {None})
