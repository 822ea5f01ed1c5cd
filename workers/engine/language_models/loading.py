"""Load a language model and its tokenizer from a folder of the studio, ready for reading activations.

The last model stays in memory: a warm child, or a session in a notebook, that asks for the same folder, precision and
device again gets it at once. Code that comes with a model is never run; weights are read from safetensors alone.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from workers.engine.precision import matmul_dtype_for
from workers.engine.specs.errors import BadArtifact, EngineError

_last_loaded: dict[tuple[str, int, torch.dtype, str], PreTrainedModel] = {}
"""At most one model by (folder, time of its configuration, precision, device)."""


def language_model_load(model_dir: str | Path, *, dtype: torch.dtype, device: str) -> PreTrainedModel:
    """The model in eval mode on `device`, without gradients, its weights in `dtype`.

    Transformers chooses the attention: SDPA where the architecture allows it, eager where it does not (Gemma 2's soft
    capping). Raises BadArtifact when the folder holds no readable model.
    """
    config_path = Path(model_dir) / "config.json"
    if not config_path.is_file():
        raise BadArtifact(f"{Path(model_dir).name} holds no language model: it has no config.json.", "Import it again.")
    key = (str(config_path.resolve()), config_path.stat().st_mtime_ns, dtype, device)
    if key not in _last_loaded:
        _last_loaded.clear()  # before the next one is read: two would not fit
        _last_loaded[key] = _load(Path(model_dir), dtype, device)
    return _last_loaded[key]


def _load(model_dir: Path, dtype: torch.dtype, device: str) -> PreTrainedModel:
    try:
        model = AutoModelForCausalLM.from_pretrained(
            model_dir, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise BadArtifact(
            f"The language model in {model_dir.name} cannot be read: {error}", "Import it again; a file may be damaged."
        ) from error
    return model.to(device).eval().requires_grad_(False)


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


def lm_dtype_resolve(wish: str, device: str) -> torch.dtype:
    """The precision of a language model: "bfloat16", "float32", or "auto", bfloat16 where `device` multiplies it fast.

    Fast are processors with AVX-512 BF16 or AMX, and NVIDIA devices from compute capability 8.0 on; elsewhere bfloat16
    is emulated and slower than float32.
    """
    if wish != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[wish]
    return matmul_dtype_for(device)
