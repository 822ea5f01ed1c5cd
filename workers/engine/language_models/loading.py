"""Load a language model and its tokenizer from a folder of the studio, ready for reading activations.

The files stay as published; how the weights are held is decided here. 8-bit is LLM.int8 (Dettmers et al. 2022: outliers
from 6.0 on multiply in 16 bits), 4-bit is nf4 with double quantization (QLoRA, Dettmers et al. 2023), both by
bitsandbytes, which leaves embeddings, norms and the output head alone. The last model stays in memory: a warm child, or a
session in a notebook, that asks for the same model in the same way again gets it at once. Code that comes with a model is
never run; weights are read from safetensors alone.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from workers.engine.language_models.model_files import WEIGHTS, WEIGHTS_SHA256
from workers.engine.language_models.packing import packing_check
from workers.engine.precision import lm_compute_dtype
from workers.engine.specs.errors import BadArtifact, EngineError
from workers.engine.specs.memory_estimate import HELD_IN

OUTLIER_THRESHOLD = 6.0
"""LLM.int8: columns with an input beyond it are multiplied unquantized."""
AS_PUBLISHED = ("", "auto")
for _noisy in (
    "bitsandbytes.autograd._functions",  # warns at every product of a float32 input
    "bitsandbytes.backends.cpu.ops",  # misses a package of kernels from the Hub that nothing here asks for
):
    logging.getLogger(_noisy).setLevel(logging.ERROR)
_last_loaded: dict[tuple[tuple, str, torch.dtype, str], PreTrainedModel] = {}
"""At most one model by (identity of its files, quantization, compute precision, device)."""


def language_model_load(
    model_dir: str | Path, *, quantization: str, lm_dtype: str = "auto", device: str
) -> PreTrainedModel:
    """The model in eval mode on `device`, without gradients; `model.dtype` is the precision it computes in.

    `quantization` is a key of QUANTIZATIONS, or "auto" for as published; `lm_dtype` "auto", "float32" or "bfloat16" is the
    compute precision. Weights are rounded to what `quantization` holds even where they are computed in float32.
    Transformers chooses the attention: SDPA where the architecture allows it, eager where it does not (Gemma 2's soft
    capping). Raises BadArtifact when the folder holds no readable model.
    """
    config_path = Path(model_dir) / "config.json"
    if not config_path.is_file():
        raise BadArtifact(f"{Path(model_dir).name} holds no language model: it has no config.json.", "Import it again.")
    quantization = quantization_resolve(quantization, model_dir)
    compute = lm_compute_dtype(quantization, lm_dtype, device)
    key = (_identity(config_path), quantization, compute, device)
    if key not in _last_loaded:
        _last_loaded.clear()  # before the next one is read: two would not fit
        _last_loaded[key] = _load(Path(model_dir), quantization, compute, device)
    return _last_loaded[key]


def _identity(config_path: Path) -> tuple:
    """The folder, the hash that its import wrote down, and name, size and time of configuration and weights: a warm child
    reads a model anew when any of them is another."""
    folder = config_path.resolve().parent
    note = folder / WEIGHTS_SHA256
    files = [config_path, *sorted(folder.glob(WEIGHTS))]
    seen = tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return str(folder), note.read_text("utf-8") if note.exists() else "", seen


def quantization_resolve(quantization: str, model_dir: str | Path) -> str:
    """A key of QUANTIZATIONS; "auto" is the one that holds the weights as config.json says they are stored.

    Raises BadArtifact for a configuration that cannot be read.
    """
    if quantization not in AS_PUBLISHED:
        return quantization
    return published_quantization(model_config(model_dir).dtype)


def model_config(model_dir: str | Path) -> PretrainedConfig:
    """What config.json says. Raises BadArtifact for one that cannot be read."""
    try:
        return AutoConfig.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadArtifact(f"The model's config.json cannot be read: {error}", "Import the model again.") from error


def published_quantization(dtype: torch.dtype | str | None) -> str:
    """The quantization that holds weights stored as `dtype` unchanged; fp32 for a dtype that is not named or not known."""
    name = str(dtype).removeprefix("torch.")
    return next((quantization for quantization, held in HELD_IN.items() if held == name), "fp32")


def _load(model_dir: Path, quantization: str, compute: torch.dtype, device: str) -> PreTrainedModel:
    packing_check(model_config(model_dir), quantization)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            model_dir,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            **loading_options(quantization, compute, device),
        )
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise BadArtifact(
            f"The language model in {model_dir.name} cannot be read: {error}", "Import it again; a file may be damaged."
        ) from error
    if quantization in HELD_IN:
        for parameter in model.parameters():  # not buffers: rotary frequencies stay in float32
            parameter.data = parameter.data.to(compute)
        model = model.to(device)
    return model.eval().requires_grad_(False)


def loading_options(quantization: str, compute: torch.dtype, device: str) -> dict[str, Any]:
    """What from_pretrained needs to know about precision. Quantized models are placed as they are read."""
    if quantization in HELD_IN:
        return {"dtype": getattr(torch, HELD_IN[quantization])}
    if quantization == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=OUTLIER_THRESHOLD)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        )
    return {"dtype": compute, "quantization_config": config, "device_map": {"": device}}


def tokenizer_load(model_dir: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer that lies beside the model. Raises BadArtifact when it is missing or cannot be read."""
    try:
        return AutoTokenizer.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BadArtifact(
            f"The tokenizer in {Path(model_dir).name} cannot be read: {error}",
            "Import the language model again from a source that includes its tokenizer files.",
        ) from error


def first_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the token that begins every context and prompt: the tokenizer's BOS, else its EOS.

    Raises EngineError "no_first_token" when it has neither.
    """
    for token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token_id is not None:
            return token_id
    raise EngineError(
        "The tokenizer names neither a first (BOS) nor a last (EOS) token.",
        "Set bos_token or eos_token in the model's tokenizer_config.json and import it again.",
        code="no_first_token",
    )
