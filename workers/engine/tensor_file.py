"""safetensors files as memory maps: fill one that is larger than memory, read a slice of one without loading it.

Format: 8 bytes with the header's length, the header as JSON (name → dtype, shape, byte range), the tensors one after
another, little-endian. Wider numbers stand first, so every tensor is aligned to its own width.
"""

import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from workers.engine.specs.errors import BadArtifact

DTYPES = {
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
HEADER_MULTIPLE = 8
AGAIN = "Make it again with the job that wrote it."


def tensor_file_create(path: str | Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    """Create a file of zeros with these tensors (name → NumPy dtype, shape); returns writable memory maps by name."""
    path = Path(path)
    header, end = {}, 0
    widest_first = sorted(tensors, key=lambda name: -np.dtype(tensors[name][0]).itemsize)
    for name in widest_first:
        dtype, shape = np.dtype(tensors[name][0]), tensors[name][1]
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_MULTIPLE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        _reserve(file, 8 + len(text) + end)
    return {name: _map(path, 8 + len(text), header[name], "r+") for name in tensors}


def _reserve(file: BinaryIO, size: int) -> None:
    """Zeros up to `size` bytes, and their room on the disk where the system can promise it: a map into a file with holes
    ends the process by SIGBUS when the disk becomes full, instead of raising OSError here."""
    if hasattr(os, "posix_fallocate"):
        file.flush()
        os.posix_fallocate(file.fileno(), 0, size)
    file.truncate(size)


def tensor_file_open(path: str | Path) -> dict[str, np.ndarray]:
    """Read-only memory maps of all tensors by name. Raises BadArtifact when the file is missing, cut short or foreign."""
    path = Path(path)
    if not path.is_file():
        raise BadArtifact(f"There is no file {path.name}.", AGAIN)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise BadArtifact(f"{path.name} is cut short or is no safetensors file.", AGAIN)
        try:
            header = json.loads(file.read(length))
            entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadArtifact(f"{path.name} is no safetensors file: its header cannot be read.", AGAIN) from error
    if size < 8 + length + end:
        raise BadArtifact(f"{path.name} is cut short.", AGAIN)
    return {name: _map(path, 8 + length, entry, "r") for name, entry in entries.items()}


def _map(path: Path, tensors_at: int, entry: dict, mode: str) -> np.ndarray:
    shape, (start, end) = tuple(entry["shape"]), entry["data_offsets"]
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None or end - start != math.prod(shape) * dtype.itemsize:
        raise BadArtifact(f"{path.name} holds a tensor of an unexpected form ({entry['dtype']}, {shape}).", AGAIN)
    if start == end:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype=dtype, mode=mode, offset=tensors_at + start, shape=shape)
