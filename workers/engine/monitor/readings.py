"""What this machine is doing now: CPU, memory, disk, network from psutil, GPUs from NVML. Rates need two readings.

A machine without NVIDIA GPU is normal: its reading has no GPUs. A value that a driver does not tell is None.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml

from workers.engine.monitor import limits
from workers.engine.monitor.devices import gpu_handles, told
from workers.engine.specs.base import Record

MOST_GPU_PROCESSES = 20


@dataclass(frozen=True, kw_only=True)
class GpuProcess(Record):
    """A program that computes on a GPU; `bytes` is None where the driver hides it."""

    pid: int
    name: str
    bytes: int | None


@dataclass(frozen=True, kw_only=True)
class GpuReading(Record):
    """One GPU. `index` is that of cuda:N."""

    index: int
    name: str
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    """None where the card does not tell."""
    utilization_pct: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reading(Record):
    """One look at the machine. Rates are means since the sampler's previous look, None at its first."""

    cpu_pct: tuple[float, ...]
    """Busy share of each logical core since the previous look."""
    cores: int
    """How many the studio may keep busy (limits.py)."""
    ram_used_bytes: int
    """RAM, and how much of it is free, is what the studio may have."""
    ram_total_bytes: int
    swap_used_bytes: int
    swap_total_bytes: int
    disk_read_bytes_s: float | None
    disk_write_bytes_s: float | None
    network_sent_bytes_s: float | None
    network_received_bytes_s: float | None
    data_used_bytes: int
    """Of the file system that holds the data folder."""
    data_total_bytes: int
    load_1min: float
    gpus: tuple[GpuReading, ...] = ()

    @property
    def cpu_mean_pct(self) -> float:
        """Busy share of the whole CPU."""
        return sum(self.cpu_pct) / max(1, len(self.cpu_pct))


class Sampler:
    """Takes readings and remembers the counters of the last one, so that it can tell rates."""

    def __init__(
        self, data_dir: str | os.PathLike[str], *, nvml: Any = pynvml, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._data_dir = os.fspath(data_dir)
        self._nvml = nvml
        self._clock = clock
        self._counters: dict[str, int] = {}
        self._at = 0.0
        psutil.cpu_percent(percpu=True)  # the first call only starts the measurement

    def reading(self) -> Reading:
        """The machine now."""
        memory, swap = limits.memory(), psutil.swap_memory()
        data = psutil.disk_usage(self._data_dir)
        rates = self._rates()
        return Reading(
            cpu_pct=tuple(psutil.cpu_percent(percpu=True)),
            ram_used_bytes=memory.total_bytes - memory.available_bytes,
            ram_total_bytes=memory.total_bytes,
            cores=limits.cores(),
            swap_used_bytes=swap.used,
            swap_total_bytes=swap.total,
            disk_read_bytes_s=rates.get("disk_read"),
            disk_write_bytes_s=rates.get("disk_write"),
            network_sent_bytes_s=rates.get("network_sent"),
            network_received_bytes_s=rates.get("network_received"),
            data_used_bytes=data.used,
            data_total_bytes=data.total,
            load_1min=psutil.getloadavg()[0],
            gpus=gpu_readings(self._nvml),
        )

    def _rates(self) -> dict[str, float]:
        """Counter → units per second since the last call; a counter that fell (a device left) gives none."""
        counters, now = _counters(), self._clock()
        before, seconds = self._counters, now - self._at
        self._counters, self._at = counters, now
        if seconds <= 0:
            return {}
        return {
            name: (count - before[name]) / seconds
            for name, count in counters.items()
            if name in before and count >= before[name]
        }


def _counters() -> dict[str, int]:
    """Bytes since the machine's start. Containers may hide disks or interfaces: then they are missing."""
    found = {}
    disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
    if disk is not None:
        found |= {"disk_read": disk.read_bytes, "disk_write": disk.write_bytes}
    if network is not None:
        found |= {"network_sent": network.bytes_sent, "network_received": network.bytes_recv}
    return found


def gpu_readings(nvml: Any = pynvml) -> tuple[GpuReading, ...]:
    """All NVIDIA GPUs now; empty without driver."""
    return tuple(_gpu(nvml, index, handle) for index, handle in gpu_handles(nvml).items())


def _gpu(nvml: Any, index: int, handle: Any) -> GpuReading:
    memory = told(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    power = told(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000)
    return GpuReading(
        index=index,
        name=told(nvml, lambda: nvml.nvmlDeviceGetName(handle)) or "unknown",
        memory_used_bytes=memory and memory.used,
        memory_total_bytes=memory and memory.total,
        utilization_pct=told(nvml, lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
        temperature_c=told(nvml, lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
        power_w=power,
        power_limit_w=told(nvml, lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
        processes=told(nvml, lambda: _processes(nvml, handle)) or (),
    )


def _processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...]:
    found = nvml.nvmlDeviceGetComputeRunningProcesses(handle)[:MOST_GPU_PROCESSES]
    return tuple(GpuProcess(pid=p.pid, name=_program(p.pid), bytes=p.usedGpuMemory) for p in found)


def _program(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "ended or in another container"
