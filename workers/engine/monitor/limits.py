"""What of the machine this process may use: memory and cores, as control groups (containers, systemd) and affinity limit them.

psutil and torch count the whole machine. A limit holds for a group and all below it, so every group from ours up to the
root counts; inside a container the root that is seen is the container's own group.

    v2  memory.max  memory.current           memory.stat: inactive_file        cpu.max            memory.events: oom_kill
    v1  memory.limit_in_bytes  memory.usage_in_bytes  total_inactive_file  cpu.cfs_quota_us/_period_us  memory.oom_control

https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

UNLIMITED_BYTES = 2**60
"""cgroup v1 writes a number near 2^63 where there is no limit."""
THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
"""By which torch and pyarrow, numba and tokenizers are told how many threads to start."""


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes: all that this process could ever have, and what of it is to be had now."""

    total_bytes: int
    available_bytes: int


@dataclass(frozen=True)
class Kernel:
    """Where the kernel tells; tests put folders of their own here."""

    proc: Path = Path("/proc")
    groups: Path = Path("/sys/fs/cgroup")


KERNEL = Kernel()


def memory(kernel: Kernel = KERNEL) -> Memory:
    """The machine's memory, or the smallest room that a control group leaves. Page cache that can be dropped is room."""
    machine = psutil.virtual_memory()
    total, available = machine.total, machine.available
    for limit, used in _memory_limits(kernel):
        total, available = min(total, limit), min(available, max(0, limit - used))
    return Memory(total, available)


def cores(kernel: Kernel = KERNEL) -> int:
    """Cores that this process can keep busy: those of its affinity, or fewer where a quota allows less; at least 1."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _cpu_quotas(kernel)]
    return max(1, min([there, *quotas]))


def thread_environment(kernel: Kernel = KERNEL) -> dict[str, str]:
    """Thread counts for a child, {} where libraries count right by themselves: no quota is below the cores that are seen."""
    allowed = cores(kernel)
    return {} if allowed >= (os.cpu_count() or 1) else dict.fromkeys(THREADS, str(allowed))


def oom_kills(kernel: Kernel = KERNEL) -> tuple[int, ...]:
    """How often the kernel has killed for want of memory: in our own groups, and on the whole machine. A number that has
    grown says that it did again. Empty where the kernel does not tell."""
    counters = [group / name for name in ("memory.events", "memory.oom_control") for group in _groups("memory", kernel)]
    found = [_entry(path, "oom_kill") for path in (*counters, kernel.proc / "vmstat")]
    return tuple(count for count in found if count is not None)


def _memory_limits(kernel: Kernel) -> Iterator[tuple[int, int]]:
    """(limit, used) of every group that has a limit."""
    for group in _groups("memory", kernel):
        for most, now, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, used = _number(group / most), _number(group / now)
            if limit is not None and used is not None and limit < UNLIMITED_BYTES:
                yield limit, used - (_entry(group / "memory.stat", cache) or 0)


def _cpu_quotas(kernel: Kernel) -> Iterator[float]:
    """Cores' worth of time of every group that has a quota."""
    for group in _groups("cpu", kernel):
        words = _words(group / "cpu.max")
        if len(words) == 2 and words[0].isdecimal():
            yield int(words[0]) / int(words[1])
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if quota is not None and quota > 0 and period:
            yield quota / period


def _groups(controller: str, kernel: Kernel) -> list[Path]:
    """Folders of our group and of those above it, for both versions. /proc names a path from the hierarchy's root; inside a
    container it may lie outside what is mounted, then the mount's own root is all there is to see."""
    found = []
    for line in _lines(kernel.proc / "self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            root = kernel.groups
        elif controller in controllers.split(","):
            root = kernel.groups / controller
        else:
            continue
        own = root / path.strip().lstrip("/")
        found += [own, *(parent for parent in own.parents if parent.is_relative_to(root))]
    return [group for group in found if group.is_dir()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return (_lines(path) or [""])[0].split()


def _number(path: Path) -> int | None:
    """The number in a file; None for "max", -1 and files that are not there."""
    words = _words(path)
    return int(words[0]) if words and words[0].isdecimal() else None


def _entry(path: Path, name: str) -> int | None:
    """The number behind `name` in a file of "name number" lines."""
    for line in _lines(path):
        words = line.split()
        if len(words) == 2 and words[0] == name and words[1].isdecimal():
            return int(words[1])
    return None
