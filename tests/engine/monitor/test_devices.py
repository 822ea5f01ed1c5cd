"""The devices of this machine, with a real CPU and imagined GPUs."""

import psutil
import pytest
import torch

from tests.engine.monitor.fake_nvml import GIB, FakeNvml
from workers.engine.monitor.devices import Device, cpu_multiplies, device_multiplies, devices


def test_a_machine_without_nvidia_driver_has_the_cpu_alone():
    (cpu,) = devices(FakeNvml(has_driver=False))
    assert cpu.name == "cpu"
    assert cpu.total_bytes == psutil.virtual_memory().total
    assert 0 < cpu.free_bytes <= cpu.total_bytes


def test_gpus_follow_the_cpu_with_their_own_memory():
    _, first, second = devices(FakeNvml(count=2))
    assert first == Device("cuda:0", 24 * GIB, 18 * GIB, multiplies_bf16=True, multiplies_fp16=True)
    assert second == Device("cuda:1", 24 * GIB, 17 * GIB, multiplies_bf16=True, multiplies_fp16=True)


@pytest.mark.parametrize("fault", ["lost", "no_memory"])
def test_a_card_that_is_lost_or_tells_no_memory_hides_only_itself(fault):
    found = devices(FakeNvml(count=3, **{fault: (1,)}))
    assert [device.name for device in found] == ["cpu", "cuda:0", "cuda:2"]
    assert found[2].free_bytes == 16 * GIB


def test_a_lost_card_multiplies_nothing_and_the_next_one_does():
    nvml = FakeNvml(count=2, lost=(0,))
    assert (device_multiplies("cuda:0", nvml), device_multiplies("cuda:1", nvml)) == ((False, False), (True, True))


def test_the_real_nvml_module_answers_with_or_without_a_gpu():
    assert devices()[0].name == "cpu"


@pytest.mark.parametrize(
    ("capability", "native"),
    [((6, 1), (False, False)), ((7, 5), (False, True)), ((8, 0), (True, True)), ((10, 0), (True, True))],
)
def test_a_gpus_compute_capability_says_what_it_multiplies(capability, native):
    nvml = FakeNvml(capability=capability)
    assert device_multiplies("cuda:0", nvml) == native
    assert (devices(nvml)[1].multiplies_bf16, devices(nvml)[1].multiplies_fp16) == native


def test_an_unknown_or_silent_gpu_multiplies_nothing_natively():
    assert device_multiplies("cuda:3", FakeNvml()) == (False, False)
    assert device_multiplies("cuda", FakeNvml(refuses=("capability",))) == (False, False)


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("fpu avx2 avx512f", (False, False)),
        ("fpu avx512_bf16", (True, False)),
        ("amx_bf16 amx_tile avx512_fp16", (True, True)),
    ],
)
def test_a_processors_flags_say_what_it_multiplies(tmp_path, flags, native):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t: none\n\nprocessor\t: 1\nflags\t\t: {flags}\n")
    assert cpu_multiplies(cpuinfo) == native


def test_a_system_without_cpuinfo_multiplies_nothing_natively(tmp_path):
    assert cpu_multiplies(tmp_path / "none") == (False, False)


def test_torch_says_the_same_of_this_processor():
    known = torch.cpu.get_capabilities()
    assert device_multiplies("cpu") == (
        known.get("avx512_bf16", False) or known.get("amx_bf16", False),
        known.get("avx512_fp16", False) or known.get("amx_fp16", False),
    )
    assert devices()[0].multiplies_bf16 == device_multiplies("cpu")[0]
