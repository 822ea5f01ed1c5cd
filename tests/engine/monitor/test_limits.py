"""Limits of control groups, version 1 and 2, read from imagined kernels; and what children are told of them."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from workers.engine.monitor.limits import THREADS, Kernel, cores, memory, oom_kills, thread_environment

GIB = 2**30
NO_LIMIT_V1 = 9223372036854771712


@dataclass
class Imagined:
    """Folders in the places of /proc and /sys/fs/cgroup."""

    root: Path

    @property
    def kernel(self) -> Kernel:
        return Kernel(proc=self.root / "proc", groups=self.root / "groups")

    def belongs_to(self, *lines: str) -> None:
        self.write("proc/self/cgroup", "\n".join(lines) + "\n")

    def write(self, path: str, text: object) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n")


@pytest.fixture
def imagined(tmp_path):
    return Imagined(tmp_path)


def v2(imagined, group="", *, limit="max", used=0, cache=0, quota="max"):
    folder = f"groups/{group}".rstrip("/")
    imagined.write(f"{folder}/memory.max", limit)
    imagined.write(f"{folder}/memory.current", used)
    imagined.write(f"{folder}/memory.stat", f"anon 5\ninactive_file {cache}")
    imagined.write(f"{folder}/cpu.max", f"{quota} 100000")


def v1(imagined, group="", *, limit=NO_LIMIT_V1, used=0, cache=0, quota=-1):
    folder = f"groups/memory/{group}".rstrip("/")
    imagined.write(f"{folder}/memory.limit_in_bytes", limit)
    imagined.write(f"{folder}/memory.usage_in_bytes", used)
    imagined.write(f"{folder}/memory.stat", f"inactive_file 1\ntotal_inactive_file {cache}")
    imagined.write(f"groups/cpu/{group}/cpu.cfs_quota_us".replace("//", "/"), quota)
    imagined.write(f"groups/cpu/{group}/cpu.cfs_period_us".replace("//", "/"), 100_000)


@pytest.fixture(params=["v1", "v2"])
def version(request, imagined):
    """How limits are written in this version, for a process in the group app/job."""
    if request.param == "v2":
        imagined.belongs_to("0::/app/job")
        return v2
    imagined.belongs_to("4:memory:/app/job", "3:cpu,cpuacct:/app/job", "0::/")
    return v1


def test_without_limits_the_machine_counts(imagined, version):
    version(imagined, "app/job")
    found = memory(imagined.kernel)
    assert found.total_bytes == psutil.virtual_memory().total
    assert 0 < found.available_bytes <= found.total_bytes
    assert cores(imagined.kernel) == len(os.sched_getaffinity(0))
    assert thread_environment(imagined.kernel) in ({}, dict.fromkeys(THREADS, str(len(os.sched_getaffinity(0)))))


def test_a_machine_without_control_groups_counts_whole(imagined):
    assert memory(imagined.kernel).total_bytes == psutil.virtual_memory().total
    assert cores(imagined.kernel) == len(os.sched_getaffinity(0))


def test_a_memory_limit_is_the_whole_and_cache_that_can_be_dropped_is_free(imagined, version):
    version(imagined, "app/job", limit=GIB, used=GIB // 2, cache=GIB // 4)
    found = memory(imagined.kernel)
    assert (found.total_bytes, found.available_bytes) == (GIB, 3 * GIB // 4)


def test_a_group_above_limits_too(imagined, version):
    version(imagined, "app/job", limit=GIB, used=0)
    version(imagined, "app", limit=2 * GIB, used=2 * GIB - 1000)
    found = memory(imagined.kernel)
    assert (found.total_bytes, found.available_bytes) == (GIB, 1000)


def test_inside_a_container_the_mounts_root_is_ones_own_group(imagined, version):
    imagined.belongs_to("4:memory:/docker/abc", "3:cpu,cpuacct:/docker/abc", "0::/../../elsewhere")
    version(imagined, limit=GIB, used=0, quota=50_000)
    assert memory(imagined.kernel).total_bytes == GIB
    assert cores(imagined.kernel) == 1


def test_more_used_than_allowed_leaves_nothing(imagined, version):
    version(imagined, "app/job", limit=1000, used=2000)
    assert memory(imagined.kernel).available_bytes == 0


@pytest.mark.parametrize(("quota", "allowed"), [(100_000, 1), (10_000, 1), (150_000, 2), (100_000_000, None)])
def test_a_quota_of_time_is_rounded_up_to_cores(imagined, version, monkeypatch, quota, allowed):
    monkeypatch.setattr("workers.engine.monitor.limits.os.sched_getaffinity", lambda _: range(16))
    monkeypatch.setattr("workers.engine.monitor.limits.os.cpu_count", lambda: 16)
    version(imagined, "app/job", quota=quota)
    assert cores(imagined.kernel) == (allowed or 16)
    told = thread_environment(imagined.kernel)
    assert told == ({name: str(allowed) for name in THREADS} if allowed else {})


def test_kills_for_want_of_memory_are_counted_by_group_and_machine(imagined):
    imagined.belongs_to("0::/app")
    imagined.write("groups/app/memory.events", "low 0\noom 3\noom_kill 2")
    imagined.write("proc/vmstat", "nr_free_pages 7\noom_kill 5")
    assert oom_kills(imagined.kernel) == (2, 5)
    imagined.belongs_to("4:memory:/app")
    imagined.write("groups/memory/app/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4")
    assert oom_kills(imagined.kernel) == (4, 5)
    assert oom_kills(Kernel(proc=imagined.root / "none", groups=imagined.root / "none")) == ()
