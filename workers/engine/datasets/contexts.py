"""A tokenization on disk: two safetensors files of fixed-length contexts, read memory-mapped.

The folder holds train.safetensors and heldout.safetensors. Each has `tokens` (N, T) int32 and `first_row` (N,) int64,
the dataset row in which the context begins. No pads: every one of the N × T places is a token that was meant.

Shapes: N contexts, T tokens in a context.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from workers.engine.specs.errors import BadArtifact

Part = Literal["train", "heldout"]
PARTS: tuple[Part, ...] = ("train", "heldout")
"""Both parts of a tokenization, in the order in which whole-tokenization readers take them."""

HEADER_MULTIPLE = 8
"""safetensors pads its header with spaces so that the first tensor starts at a multiple of eight bytes."""


@dataclass(frozen=True)
class Contexts:
    """One part of a tokenization. Slices of `tokens` are read from disk when they are touched."""

    tokens: np.ndarray
    """(N, T) int32, memory-mapped, read-only."""
    first_row: np.ndarray
    """(N,) int64: dataset row in which each context begins."""

    @classmethod
    def open(cls, folder: str | Path, part: Part) -> Self:
        """Map one part of the tokenization in `folder`. Raises BadArtifact when it is missing, cut short or foreign."""
        path = contexts_path(folder, part)
        data_start, tensors = _header_read(path)
        return cls(
            tokens=_tensor_map(path, data_start, tensors, "tokens", "I32", np.int32, 2),
            first_row=_tensor_map(path, data_start, tensors, "first_row", "I64", np.int64, 1),
        )

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def context_length(self) -> int:
        return int(self.tokens.shape[1])


def contexts_path(folder: str | Path, part: Part) -> Path:
    """Where a part of the tokenization lies."""
    return Path(folder) / f"{part}.safetensors"


def contexts_write(folder: str | Path, part: Part, tokens: np.ndarray, first_row: np.ndarray) -> Path:
    """Write one part: `tokens` (N, T) any integer type, `first_row` (N,). Memory-mapped input stays on disk."""
    path = contexts_path(folder, part)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(contexts_header(*tokens.shape))
        # first_row comes first: eight-byte numbers then stand at multiples of eight whatever N and T are.
        file.write(np.ascontiguousarray(first_row, dtype="<i8").data)
        for start in range(0, len(tokens), 8192):
            file.write(np.ascontiguousarray(tokens[start : start + 8192], dtype="<i4").data)
    return path


def contexts_header(contexts: int, context_length: int) -> bytes:
    """The safetensors header of a file that goes on with `first_row`, then `tokens`, both little-endian."""
    split, end = 8 * contexts, 8 * contexts + 4 * contexts * context_length
    header = {
        "first_row": {"dtype": "I64", "shape": [contexts], "data_offsets": [0, split]},
        "tokens": {"dtype": "I32", "shape": [contexts, context_length], "data_offsets": [split, end]},
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_MULTIPLE)
    return struct.pack("<Q", len(text)) + text


def _header_read(path: Path) -> tuple[int, dict[str, dict]]:
    """Byte at which the tensors start, and the header's tensors by name."""
    again = "Tokenize the dataset again."
    if not path.is_file():
        raise BadArtifact(f"The tokenization has no file {path.name}.", again)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise BadArtifact(f"{path.name} is cut short or is no safetensors file.", again)
        try:
            tensors = json.loads(file.read(length))
        except ValueError as error:
            raise BadArtifact(f"{path.name} is no safetensors file: its header cannot be read.", again) from error
    if not isinstance(tensors, dict) or {"tokens", "first_row"} - set(tensors):
        raise BadArtifact(f"{path.name} is no tokenization: it lacks tokens or first_row.", again)
    return 8 + length, tensors


def _tensor_map(
    path: Path, data_start: int, tensors: dict[str, dict], name: str, dtype_name: str, dtype: type, dimensions: int
) -> np.ndarray:
    """One tensor of the file as a read-only memory map."""
    entry = tensors[name]
    shape, (start, end) = tuple(entry["shape"]), entry["data_offsets"]
    expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if entry["dtype"] != dtype_name or len(shape) != dimensions or end - start != expected:
        raise BadArtifact(f"{path.name} holds {name} in an unexpected form.", "Tokenize the dataset again.")
    if path.stat().st_size < data_start + end:
        raise BadArtifact(f"{path.name} is cut short.", "Tokenize the dataset again.")
    if expected == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=data_start + start, shape=shape)
