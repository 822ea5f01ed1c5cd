"""Which files of a model belong in the studio, and whether a folder of them is a decoder-only language model.

Weights are safetensors only: pickled files (pytorch_model.bin) can run code when they are read, so they are refused.
"""

import shutil
from pathlib import Path

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from workers.engine.disk import disk_require
from workers.engine.specs.errors import BadArtifact, EngineError

WEIGHTS = "*.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
)
KEPT_FILES = ("config.json", "generation_config.json", "model.safetensors.index.json", *TOKENIZER_FILES, WEIGHTS)
"""File names or patterns, at the top of a model's folder."""
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def files_kept(names: list[str]) -> list[str]:
    """Those of `names` that belong to the model; subfolders (ONNX and other conversions) stay out."""
    return [name for name in names if "/" not in name and any(Path(name).match(pattern) for pattern in KEPT_FILES)]


def files_check(names: list[str], where: str) -> None:
    """Raise EngineError "no_config", "pickle_only" or "no_weights" when the files cannot make a model."""
    if "config.json" not in names:
        raise EngineError(
            f"{where} has no config.json: it is no Transformers model.",
            "Choose a repository or folder with config.json and *.safetensors; a .gguf file has a source of its own.",
            code="no_config",
        )
    if any(name.endswith(".safetensors") for name in files_kept(names)):
        return
    if any(name.endswith(PICKLED) for name in names):
        raise EngineError(
            f"{where} has its weights only as pickled files, which can run code when they are read.",
            "Choose a version in safetensors, or convert it: https://huggingface.co/spaces/safetensors/convert.",
            code="pickle_only",
        )
    raise EngineError(f"{where} has no weights in safetensors.", "Choose another source.", code="no_weights")


def decoder_only_check(folder: str | Path) -> PretrainedConfig:
    """Read config.json and refuse what cannot be studied: "not_decoder_only", "unsupported_architecture",
    "already_quantized"."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except RecursionError as error:
        raise EngineError(
            "config.json nests values too deeply to be read.", "Choose another source.", code="unsupported_architecture"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            f"config.json names no architecture that Transformers knows by itself: {error}",
            "Only architectures built into Transformers are run; code that comes with a model never is.",
            code="unsupported_architecture",
        ) from error
    known = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    known_names = {model.__name__ for model in (known if isinstance(known, tuple) else (known,)) if model}
    found = set(config.architectures or known_names)
    if getattr(config, "is_encoder_decoder", False) or not known_names & found:
        raise EngineError(
            f"{', '.join(sorted(found)) or config.model_type} is no decoder-only language model.",
            "Choose one that continues text: Llama, GPT-2, GPT-NeoX, Gemma, Qwen and the like; not BERT or T5.",
            code="not_decoder_only",
        )
    if getattr(config, "quantization_config", None):
        raise EngineError(
            "The weights are published quantized already.",
            "Choose the original in 16 or 32 bits; the studio quantizes it as you wish.",
            code="already_quantized",
        )
    return config


def folder_copy(source: str | Path, target: str | Path) -> None:
    """Bring a local folder's model files into `target`: hard links where the disk allows it, else copies."""
    source, target = Path(source), Path(target)
    if not source.is_dir():
        raise BadArtifact(f"There is no folder {source}.", "Give a folder on the studio's machine.")
    names = sorted(path.name for path in source.iterdir() if path.is_file())
    files_check(names, source.name)
    kept = files_kept(names)
    disk_require(target, sum((source / name).stat().st_size for name in kept if not name.endswith(".safetensors")))
    for name in kept:
        _link_or_copy((source / name).resolve(), target / name)


def _link_or_copy(source: Path, target: Path) -> None:
    """Only weights are linked: other files are small, and may be edited where they come from."""
    if source.suffix == ".safetensors":
        try:
            target.hardlink_to(source)
        except OSError:  # another disk, or a file system without links
            disk_require(target.parent, source.stat().st_size)
        else:
            return
    shutil.copyfile(source, target)
