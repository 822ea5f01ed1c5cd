"""Which devices this machine has, how much memory each holds, and which 16-bit formats it multiplies. No torch.

The CPU comes from psutil and /proc/cpuinfo, NVIDIA GPUs from NVML. Emulated 16-bit products are slower than float32, so
web and engine both ask here what is native.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pynvml

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
    """The CPU, then every GPU, with their memory now. A machine without NVIDIA driver has the CPU alone."""
    memory = psutil.virtual_memory()
    found = [Device("cpu", memory.total, memory.available, *cpu_multiplies())]
    for index, handle in enumerate(gpu_handles(nvml)):
        gpu = nvml.nvmlDeviceGetMemoryInfo(handle)
        found.append(Device(f"cuda:{index}", gpu.total, gpu.free, *_gpu_multiplies(nvml, handle)))
    return tuple(found)


def device_multiplies(name: str, nvml: Any = pynvml) -> tuple[bool, bool]:
    """Whether the device ("cpu", "cuda", "cuda:1") multiplies bfloat16 and float16 natively; unknown ones do not."""
    if not name.startswith("cuda"):
        return cpu_multiplies()
    handles, index = gpu_handles(nvml), int(name.partition(":")[2] or 0)
    return _gpu_multiplies(nvml, handles[index]) if index < len(handles) else (False, False)


@cache
def cpu_multiplies(cpuinfo: Path = CPUINFO) -> tuple[bool, bool]:
    """Whether the processor multiplies bfloat16 and float16 natively, by its flags; False where Linux does not list them."""
    if not cpuinfo.is_file():
        return False, False
    lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
    flags = set(next((line for line in lines if line.startswith("flags")), "").split())
    return bool(flags & BF16_FLAGS), bool(flags & FP16_FLAGS)


def _gpu_multiplies(nvml: Any, handle: Any) -> tuple[bool, bool]:
    try:
        capability = tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle))
    except nvml.NVMLError:
        return False, False
    return capability >= BF16_CAPABILITY, capability >= FP16_CAPABILITY


def gpu_handles(nvml: Any = pynvml) -> list[Any]:
    """NVML's handles of all GPUs, empty where there is no driver. Starting NVML again is cheap and harmless."""
    try:
        nvml.nvmlInit()
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return []
