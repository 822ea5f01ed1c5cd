"""Readings of this machine: psutil's own figures, rates from two looks, and imagined GPUs."""

import json
from types import SimpleNamespace

import psutil
import pytest

from tests.engine.monitor.fake_nvml import GIB, FakeNvml
from workers.engine.monitor.readings import Reading, Sampler, gpu_readings


def test_a_reading_says_what_psutil_says(tmp_path):
    reading = Sampler(tmp_path, nvml=FakeNvml(has_driver=False)).reading()
    assert len(reading.cpu_pct) == psutil.cpu_count()
    assert all(0 <= busy <= 100 for busy in reading.cpu_pct)
    assert reading.ram_total_bytes == psutil.virtual_memory().total
    assert 0 < reading.ram_used_bytes < reading.ram_total_bytes
    assert reading.data_total_bytes == psutil.disk_usage(str(tmp_path)).total


def test_a_machine_without_gpu_is_normal():
    assert gpu_readings(FakeNvml(has_driver=False)) == ()


def test_the_first_reading_knows_no_rates_and_the_second_divides_by_the_time_between(tmp_path, monkeypatch):
    clock = iter([100.0, 104.0])
    disks = iter([SimpleNamespace(read_bytes=1_000, write_bytes=50), SimpleNamespace(read_bytes=9_000, write_bytes=50)])
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: next(disks))
    sampler = Sampler(tmp_path, nvml=FakeNvml(has_driver=False), clock=lambda: next(clock))
    assert sampler.reading().disk_read_bytes_s is None
    second = sampler.reading()
    assert second.disk_read_bytes_s == 2_000
    assert second.disk_write_bytes_s == 0


def test_a_counter_that_fell_gives_no_rate(tmp_path, monkeypatch):
    network = iter([SimpleNamespace(bytes_sent=500, bytes_recv=500), SimpleNamespace(bytes_sent=0, bytes_recv=600)])
    monkeypatch.setattr(psutil, "net_io_counters", lambda: next(network))
    clock = iter([0.0, 1.0])
    sampler = Sampler(tmp_path, nvml=FakeNvml(has_driver=False), clock=lambda: next(clock))
    sampler.reading()
    second = sampler.reading()
    assert second.network_sent_bytes_s is None
    assert second.network_received_bytes_s == 100


def test_a_container_that_hides_its_disks_is_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    sampler = Sampler(tmp_path, nvml=FakeNvml(has_driver=False))
    sampler.reading()
    assert sampler.reading().disk_read_bytes_s is None


def test_a_gpu_tells_load_memory_temperature_power_and_programs():
    first, second = gpu_readings(FakeNvml(count=2))
    assert (first.index, first.name, second.name) == (0, "Test GPU 0", "Test GPU 1")
    assert (first.memory_used_bytes, first.memory_total_bytes) == (6 * GIB, 24 * GIB)
    assert (first.utilization_pct, first.temperature_c) == (73.0, 61.0)
    assert (first.power_w, first.power_limit_w) == (250.5, 450.0)
    assert [(p.pid, p.bytes) for p in first.processes] == [(4242, 5 * GIB), (4243, None)]


def test_a_card_that_tells_neither_name_nor_memory_is_shown_as_unknown_beside_the_others():
    silent, talking = gpu_readings(FakeNvml(count=3, lost=(1,), no_memory=(0,)))
    assert (silent.index, silent.memory_used_bytes, silent.memory_total_bytes) == (0, None, None)
    assert (talking.index, talking.memory_total_bytes) == (2, 24 * GIB)
    assert gpu_readings(FakeNvml(refuses=("name",)))[0].name == "unknown"


@pytest.mark.parametrize("refused", ["utilization", "temperature", "power", "processes"])
def test_what_a_driver_does_not_support_is_missing_and_the_rest_is_told(refused):
    (gpu,) = gpu_readings(FakeNvml(refuses=(refused,)))
    told = {
        "utilization": gpu.utilization_pct is not None,
        "temperature": gpu.temperature_c is not None,
        "power": gpu.power_w is not None,
        "processes": gpu.processes != (),
    }
    assert {name for name, is_told in told.items() if not is_told} == {refused}


def test_a_reading_survives_json(tmp_path):
    reading = Sampler(tmp_path, nvml=FakeNvml()).reading()
    assert Reading.from_json(json.loads(json.dumps(reading.to_json()))) == reading
