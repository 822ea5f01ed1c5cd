"""Which devices this machine has and how much memory each holds: the CPU from psutil, NVIDIA GPUs from NVML. No torch."""

from dataclasses import dataclass
from typing import Any

import psutil
import pynvml


@dataclass(frozen=True)
class Device:
    """A place where a job can run. `name` is "cpu" or "cuda:0"; GPUs are counted as NVML does, by PCI bus."""

    name: str
    total_bytes: int
    free_bytes: int


def devices(nvml: Any = pynvml) -> tuple[Device, ...]:
    """The CPU, then every GPU, with their memory now. A machine without NVIDIA driver has the CPU alone."""
    memory = psutil.virtual_memory()
    found = [Device("cpu", memory.total, memory.available)]
    for index, handle in enumerate(gpu_handles(nvml)):
        gpu = nvml.nvmlDeviceGetMemoryInfo(handle)
        found.append(Device(f"cuda:{index}", gpu.total, gpu.free))
    return tuple(found)


def gpu_handles(nvml: Any = pynvml) -> list[Any]:
    """NVML's handles of all GPUs, empty where there is no driver. Starting NVML again is cheap and harmless."""
    try:
        nvml.nvmlInit()
        return [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return []
