"""Memory: what a training run needs, what is free, and errors that say both."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from workers.engine.specs.errors import OutOfMemory
from workers.engine.specs.training import TrainSpec

HINT = "Choose fewer latents or a smaller batch, or a device with more memory."


def training_bytes(spec: TrainSpec, d_in: int, matmul_dtype: torch.dtype) -> int:
    """An estimate from the shapes: weights, gradient and two moments in float32, and what one step holds at once."""
    weights = (2 * d_in * spec.d_sae + spec.d_sae + d_in) * 4
    dense_blocks = 2 if spec.architecture == "topk" else 4
    latents = spec.batch_size * spec.d_sae * matmul_dtype.itemsize * dense_blocks
    return 5 * weights + latents + 6 * spec.batch_size * d_in * 4


def free_bytes(device: str) -> int:
    """Memory that a new allocation on `device` can have."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def memory_check(needed: int, device: str) -> None:
    """Raise OutOfMemory when `needed` bytes are clearly not there."""
    free = free_bytes(device)
    if needed > free:
        raise OutOfMemory(f"The run needs about {_gib(needed)} on {device}; {_gib(free)} are free.", HINT)


@contextmanager
def out_of_memory_explained(needed: int, device: str) -> Iterator[None]:
    """Turn an allocator's failure inside the block into OutOfMemory with numbers."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_memory = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
        if not is_memory:
            raise
        message = (
            f"{device} ran out of memory: the run needs about {_gib(needed)}, {_gib(free_bytes(device))} are free."
        )
        raise OutOfMemory(message, HINT) from error


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
