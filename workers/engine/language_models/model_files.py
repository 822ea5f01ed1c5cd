"""Which files of a model belong in the studio, and whether a folder of them is a decoder-only language model.

Weights are safetensors only: pickled files (pytorch_model.bin) can run code when they are read, so they are refused.
"""

import fcntl
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from workers.engine.disk import disk_require
from workers.engine.language_models.packing import packing_check
from workers.engine.progress import Progress
from workers.engine.specs.errors import BadArtifact, EngineError

FICLONE = 0x40049409
"""ioctl_ficlone(2)."""
WEIGHTS = "*.safetensors"
WEIGHTS_SHA256 = "weights.sha256"
"""Written by the import: the hash of the weights beside it."""
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
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""Transformers reads the first where it is there, else the shards that the second names."""
ADAPTER, ADAPTER_CONFIG = "adapter_", "adapter_config.json"
KEPT_FILES = ("config.json", "generation_config.json", INDEX, *TOKENIZER_FILES)
"""At the top of a model's folder, beside the weights."""
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def files_kept(names: list[str], where: str, index: Callable[[], str]) -> list[str]:
    """Those of `names` that belong to the model; subfolders (ONNX and other conversions) stay out, and so do weights that
    Transformers would not read beside the model's own: other layouts (consolidated.safetensors), adapters.

    `index` gives the text of model.safetensors.index.json where there is one. Raises EngineError "no_config",
    "pickle_only", "adapter_only" or "no_weights" when the files cannot make a model, BadArtifact for a bad index.
    """
    top = [name for name in names if "/" not in name]
    others = [name for name in top if any(Path(name).match(pattern) for pattern in KEPT_FILES)]
    if "config.json" not in top and ADAPTER_CONFIG not in top:
        raise EngineError(
            f"{where} has no config.json: it is no Transformers model.",
            "Choose a repository or folder with config.json and *.safetensors; a .gguf file has a source of its own.",
            code="no_config",
        )
    if "config.json" in top and WHOLE in top:
        return [*(name for name in others if name != INDEX), WHOLE]
    if "config.json" in top and INDEX in top:
        return [*others, *_shards(index(), top, where)]
    raise _no_weights(top, where)


def _shards(index: str, names: list[str], where: str) -> list[str]:
    """The files that an index names."""
    try:
        shards = sorted(set(json.loads(index)["weight_map"].values()))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise BadArtifact(f"{INDEX} of {where} cannot be read.", "It may be damaged; fetch it again.") from error
    missing = [str(shard) for shard in shards if shard not in names or not str(shard).endswith(".safetensors")]
    if missing or not shards:
        raise BadArtifact(
            f"{where} lacks {missing[0] if missing else 'the files of its weights'}, which its {INDEX} names.",
            "The folder is incomplete; fetch the model again.",
        )
    return shards


def _no_weights(names: list[str], where: str) -> EngineError:
    """Why the files at hand hold no weights that can be read."""
    if any(name.endswith(PICKLED) and not name.startswith(ADAPTER) for name in names):
        return EngineError(
            f"{where} has its weights only as pickled files, which can run code when they are read.",
            "Choose a version in safetensors, or convert it: https://huggingface.co/spaces/safetensors/convert.",
            code="pickle_only",
        )
    if any(name.startswith(ADAPTER) for name in names):
        return EngineError(
            f"{where} is an adapter (LoRA and the like), not a whole model.",
            "Merge it into its base model (PEFT: merge_and_unload, then save_pretrained) and import that.",
            code="adapter_only",
        )
    return EngineError(
        f"{where} has neither {WHOLE} nor {INDEX}.",
        "Choose a source whose weights lie as Transformers saves them.",
        code="no_weights",
    )


def left_out(names: list[str], kept: list[str]) -> str:
    """A sentence on weights and adapters beside the model that are not taken; "" when there are none."""
    beside = [
        name
        for name in names
        if "/" not in name and name not in kept and (name.endswith(".safetensors") or name == ADAPTER_CONFIG)
    ]
    if not beside:
        return ""
    words = f"Left out, because the model is whole without: {', '.join(sorted(beside))}."
    if any(name.startswith(ADAPTER) for name in beside):
        words += " The adapter is not applied; to study the adapted model, merge it into the base and import that."
    return words


def decoder_only_check(folder: str | Path, quantization: str = "auto") -> PretrainedConfig:
    """Read config.json and refuse what cannot be studied: "not_decoder_only", "unsupported_architecture",
    "already_quantized"; SpecInvalid for what cannot be held as `quantization`."""
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
    packing_check(config, quantization)
    return config


def folder_copy(
    source: str | Path, target: str | Path, quantization: str = "auto", progress: Progress | None = None
) -> None:
    """Bring a local folder's model files into `target`. They share no storage that a later write to the source could
    change: where the disk can, they are copied on write, else byte by byte. What is left out is an event."""
    source, target = Path(source), Path(target)
    if not source.is_dir():
        raise BadArtifact(f"There is no folder {source}.", "Give a folder on the studio's machine.")
    names = sorted(path.name for path in source.iterdir() if path.is_file())
    kept = files_kept(names, source.name, lambda: (source / INDEX).read_text("utf-8"))
    if progress is not None and (words := left_out(names, kept)):
        progress.event(words)
    decoder_only_check(source, quantization)
    for place, name in enumerate(kept):
        if reflink((source / name).resolve(), target / name):
            continue
        disk_require(target, sum((source / each).stat().st_size for each in kept[place:]))
        shutil.copyfile((source / name).resolve(), target / name)


def reflink(source: Path, target: Path) -> bool:
    """Make `target` a copy-on-write clone (Btrfs, XFS, …). False where the file systems cannot; `target` is then away."""
    if sys.platform != "linux":
        return False
    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        except OSError:
            target.unlink()
            return False
    return True
