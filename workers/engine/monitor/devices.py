"""Which devices this machine has, how much memory each holds, and which 16-bit formats it multiplies. No torch.

The CPU comes from limits.py and /proc/cpuinfo, NVIDIA GPUs from NVML. Emulated 16-bit products are slower than float32, so
web and engine both ask here what is native.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pynvml

from workers.engine.monitor import limits

CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
FP16_FLAGS = frozenset({"avx512_fp16", "amx_fp16"})
BF16_CAPABILITY = (8, 0)
"""NVIDIA's compute capability from which tensor cores multiply bfloat16 (Ampere)."""
FP16_CAPABILITY = (7, 0)
"""Likewise float16 (Volta)."""


@dataclass(frozen=True)
class Device:
    """A place where a job can run. `name` is "cpu" or "cuda:0"; GPUs are counted as NVML does, by PCI bus."""

    name: str
    total_bytes: int
    free_bytes: int
    multiplies_bf16: bool = False
    """Natively; likewise float16."""
    multiplies_fp16: bool = False


def devices(nvml: Any = pynvml) -> tuple[Device, ...]:
    """The CPU, then every GPU that tells its memory, with what is free now. A machine without NVIDIA driver has the CPU alone.

    Of the CPU counts what this process may use (limits.py). A GPU whose memory is unknown cannot be planned for.
    """
    here = limits.memory()
    found = [Device("cpu", here.total_bytes, here.available_bytes, *cpu_multiplies())]
    for index, handle in gpu_handles(nvml).items():
        gpu = told(nvml, lambda handle=handle: nvml.nvmlDeviceGetMemoryInfo(handle))
        if gpu is not None:
            found.append(Device(f"cuda:{index}", gpu.total, gpu.free, *_gpu_multiplies(nvml, handle)))
    return tuple(found)


def device_multiplies(name: str, nvml: Any = pynvml) -> tuple[bool, bool]:
    """Whether the device ("cpu", "cuda", "cuda:1") multiplies bfloat16 and float16 natively; unknown ones do not."""
    if not name.startswith("cuda"):
        return cpu_multiplies()
    handles, index = gpu_handles(nvml), int(name.partition(":")[2] or 0)
    return _gpu_multiplies(nvml, handles[index]) if index in handles else (False, False)


@cache
def cpu_multiplies(cpuinfo: Path = CPUINFO) -> tuple[bool, bool]:
    """Whether the processor multiplies bfloat16 and float16 natively, by its flags; False where Linux does not list them."""
    if not cpuinfo.is_file():
        return False, False
    lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
    flags = set(next((line for line in lines if line.startswith("flags")), "").split())
    return bool(flags & BF16_FLAGS), bool(flags & FP16_FLAGS)


def _gpu_multiplies(nvml: Any, handle: Any) -> tuple[bool, bool]:
    capability = tuple(told(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle)) or (0, 0))
    return capability >= BF16_CAPABILITY, capability >= FP16_CAPABILITY


def gpu_handles(nvml: Any = pynvml) -> dict[int, Any]:
    """Index → NVML's handle of every GPU that answers; empty where there is no driver. A card that fell off the bus hides
    only itself: the others keep their index. Starting NVML again is cheap and harmless."""
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:
        return {}
    handles = {index: told(nvml, lambda index=index: nvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)}
    return {index: handle for index, handle in handles.items() if handle is not None}


def told(nvml: Any, ask: Callable[[], Any]) -> Any:
    """The driver's answer to one question, None where it does not support it or the card is lost."""
    try:
        return ask()
    except nvml.NVMLError:
        return None
