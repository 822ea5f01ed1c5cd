"""The devices of this machine, with a real CPU and imagined GPUs."""

import psutil

from tests.engine.monitor.fake_nvml import GIB, FakeNvml
from workers.engine.monitor.devices import Device, devices


def test_a_machine_without_nvidia_driver_has_the_cpu_alone():
    (cpu,) = devices(FakeNvml(has_driver=False))
    assert cpu.name == "cpu"
    assert cpu.total_bytes == psutil.virtual_memory().total
    assert 0 < cpu.free_bytes <= cpu.total_bytes


def test_gpus_follow_the_cpu_with_their_own_memory():
    _, first, second = devices(FakeNvml(count=2))
    assert first == Device("cuda:0", 24 * GIB, 18 * GIB)
    assert second == Device("cuda:1", 24 * GIB, 17 * GIB)


def test_the_real_nvml_module_answers_with_or_without_a_gpu():
    assert devices()[0].name == "cpu"
