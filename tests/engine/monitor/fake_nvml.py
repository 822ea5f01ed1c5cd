"""A stand-in for the pynvml module: one GPU with known readings, and a driver that can be missing or partly silent."""

from types import SimpleNamespace

GIB = 2**30


class NVMLError(Exception):
    """As pynvml's."""


class FakeNvml:
    """Answers like pynvml for `count` GPUs; `refuses` names calls that this driver does not support, `lost` cards that fell
    off the bus, `no_memory` those that do not tell their memory."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(
        self,
        count: int = 1,
        *,
        has_driver: bool = True,
        refuses: tuple[str, ...] = (),
        capability: tuple[int, int] = (8, 9),
        lost: tuple[int, ...] = (),
        no_memory: tuple[int, ...] = (),
    ) -> None:
        self.lost, self.no_memory = lost, no_memory
        self.count, self.has_driver, self.refuses, self.capability = count, has_driver, refuses, capability

    def _may(self, name: str) -> None:
        if name in self.refuses:
            raise NVMLError(name)

    def nvmlInit(self):
        if not self.has_driver:
            raise NVMLError("driver not loaded")

    def nvmlDeviceGetCount(self):
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index):
        if index in self.lost:
            raise NVMLError("GPU is lost")
        return index

    def nvmlDeviceGetMemoryInfo(self, handle):
        if handle in self.no_memory:
            raise NVMLError("not supported")
        return SimpleNamespace(total=24 * GIB, used=(6 + handle) * GIB, free=(18 - handle) * GIB)

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        self._may("capability")
        return list(self.capability)

    def nvmlDeviceGetName(self, handle):
        self._may("name")
        return f"Test GPU {handle}"

    def nvmlDeviceGetUtilizationRates(self, handle):
        self._may("utilization")
        return SimpleNamespace(gpu=73, memory=20)

    def nvmlDeviceGetTemperature(self, handle, sensor):
        self._may("temperature")
        return 61

    def nvmlDeviceGetPowerUsage(self, handle):
        self._may("power")
        return 250_500  # mW

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        self._may("power")
        return 450_000

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        self._may("processes")
        return [SimpleNamespace(pid=4242, usedGpuMemory=5 * GIB), SimpleNamespace(pid=4243, usedGpuMemory=None)]
