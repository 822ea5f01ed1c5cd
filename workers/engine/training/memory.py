"""Memory of a training run: what is free, when it ran out, and errors that say both. The need: specs/training_memory.py."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from workers.engine.monitor import limits
from workers.engine.specs.errors import OutOfMemory

HINT = "Choose fewer latents or a smaller batch, or a device with more memory."
MEMORY_ERRORS = (RuntimeError, MemoryError)
"""What allocators raise; `is_out_of_memory` tells them from other errors. torch.OutOfMemoryError is a RuntimeError."""


def free_bytes(device: str) -> int:
    """Memory that a new allocation on `device` can have."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    return limits.memory().available_bytes


def used_bytes(device: str) -> int:
    """Memory in use: tensors on a GPU, the whole of this process on the CPU."""
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def memory_check(needed: int, device: str) -> None:
    """Raise OutOfMemory when `needed` bytes are clearly not there."""
    free = free_bytes(device)
    if needed > free:
        raise OutOfMemory(f"The run needs about {_gib(needed)} on {device}; {_gib(free)} are free.", HINT)


def is_out_of_memory(error: BaseException) -> bool:
    """True for an allocator's failure on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


@contextmanager
def out_of_memory_explained(needed: int, device: str) -> Iterator[None]:
    """Turn an allocator's failure inside the block into OutOfMemory with numbers."""
    try:
        yield
    except MEMORY_ERRORS as error:
        if not is_out_of_memory(error):
            raise
        message = (
            f"{device} ran out of memory: the run needs about {_gib(needed)}, {_gib(free_bytes(device))} are free."
        )
        raise OutOfMemory(message, HINT) from error


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
