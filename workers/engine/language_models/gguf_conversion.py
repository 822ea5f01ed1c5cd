"""GGUF → Transformers folder, once: weights are dequantized and stored as safetensors in bfloat16.

bfloat16 keeps 8 bits of a weight: a little coarser than what a 4-bit block stands for once its scale is multiplied in
(error up to 0.4 % of a weight, below the quantization's own), and half the size of float32. The tokenizer is rebuilt from
the file too. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import json
import struct
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.integrations.gguf.reader import GgufHeader, read_gguf_metadata

from workers.engine.disk import disk_require
from workers.engine.language_models.packing import packing_check
from workers.engine.specs.errors import BadArtifact, EngineError

MAGIC = b"GGUF"
LICENCE = "general.license"


def gguf_convert(path: str | Path, target: str | Path, quantization: str = "auto") -> str:
    """Write model and tokenizer of the GGUF file into the folder `target`; returns the licence the file names.

    Raises BadArtifact when the file is no GGUF or is cut short, EngineError "unsupported_architecture", DiskFull,
    SpecInvalid for a model that cannot be held as `quantization`.
    """
    path = Path(path)
    header, licence = _header(path)
    disk_require(target, sum(prod(tensor.shape) for tensor in header.tensors) * torch.bfloat16.itemsize)
    place = {"gguf_file": path.name, "local_files_only": True}
    try:
        packing_check(AutoConfig.from_pretrained(path.parent, **place), quantization)
        model = AutoModelForCausalLM.from_pretrained(
            path.parent, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), **place
        )
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **place)
    except (ValueError, NotImplementedError, KeyError) as error:
        raise EngineError(
            f"Transformers cannot convert GGUF files of the architecture {header.architecture!r}: {error}",
            "Import the model's original in safetensors from the Hub instead.",
            code="unsupported_architecture",
        ) from error
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadArtifact(
            f"{path.name} cannot be read: {error}", "The file may be damaged; download it again."
        ) from error
    # Transformers refuses to save what was loaded from GGUF unless these marks are gone: the weights are plain by now.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    _unembedded_drop(Path(target), model.get_input_embeddings().weight.shape[0])
    return licence


def _unembedded_drop(folder: Path, rows: int) -> None:
    """Take special tokens that the file does not have, and the model no embedding for, out of the saved tokenizer: the
    conversion adds the defaults of a tokenizer class, such as <unk>."""
    rules = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    dropped = {token["content"] for token in rules["added_tokens"] if token["id"] >= rows}
    if not dropped:
        return
    rules["added_tokens"] = [token for token in rules["added_tokens"] if token["id"] < rows]
    (folder / "tokenizer.json").write_text(json.dumps(rules, ensure_ascii=False), "utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    settings = {name: value for name, value in settings.items() if not (isinstance(value, str) and value in dropped)}
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # any other would add its defaults again
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, ensure_ascii=False, indent=2), "utf-8")


def _header(path: Path) -> tuple[GgufHeader, str]:
    """The file's table of tensors and the licence it names, read without the weights; all of it is checked to be there."""
    if not path.is_file():
        raise BadArtifact(f"There is no file {path}.", "Give a .gguf file on the studio's machine.")
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise BadArtifact(f"{path.name} is no GGUF file, whatever its name says.", "Choose another file.")
    try:
        header, (metadata, _) = GgufHeader.from_file(str(path)), read_gguf_metadata(str(path))
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise BadArtifact(f"{path.name} is cut short or damaged: {error}", "Download the file again.") from error
    end = header.data_start + max((tensor.offset + tensor.nbytes for tensor in header.tensors), default=1)
    if end > path.stat().st_size:
        raise BadArtifact(f"{path.name} is cut short: weights are missing.", "Download the file again.")
    return header, str(metadata.get(LICENCE, ""))
