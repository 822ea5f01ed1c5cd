"""What the system page, its live parts and its endpoints read: the newest reading, the last hour, and who holds what."""

import socket
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from apps.jobs.models import DeviceLease
from apps.monitoring.models import Sample
from apps.monitoring.services import KEPT
from workers.engine.monitor.readings import Reading

MOST_POINTS = 1800
HOST = socket.gethostname()

_NAMES = {field.name for field in fields(Reading)}


@dataclass(frozen=True)
class Latest:
    """The newest reading of one host."""

    host: str
    at: datetime
    reading: Reading

    @property
    def age_s(self) -> float:
        return max(0.0, (timezone.now() - self.at).total_seconds())

    @property
    def is_stale(self) -> bool:
        """The sampler has missed several samples: what is shown is history."""
        return self.age_s > max(10, 3 * settings.MONITOR_INTERVAL_S)


def hosts() -> list[str]:
    """Hosts with samples in the last hour."""
    return sorted(set(_recent().values_list("host", flat=True)))


def host_shown(asked: str = "") -> str:
    """The host that was asked for, else this one; a web host without sampler shows the first that has one."""
    known = hosts()
    if asked in known:
        return asked
    return HOST if HOST in known or not known else known[0]


def latest(host: str) -> Latest | None:
    """The newest sample of a host; None when the last hour has none that this version can read."""
    sample = _recent().filter(host=host).last()
    if sample is None or not _is_readable(sample):
        return None
    return Latest(host, sample.at, Reading.from_json(sample.values))


def history(host: str, *, after: datetime | None = None, points: int = MOST_POINTS) -> list[Sample]:
    """Samples of the last hour, oldest first, evenly thinned to at most `points`; only those later than `after`."""
    found = _recent().filter(host=host)
    if after is not None:
        found = found.filter(at__gt=after)
    samples = [sample for sample in found if _is_readable(sample)]
    stride = max(1, -(-len(samples) // points))
    return samples[::-1][::stride][::-1]  # counted from the newest, which is always among them


def _recent() -> QuerySet[Sample]:
    return Sample.objects.filter(at__gte=timezone.now() - KEPT).order_by("at")


def _is_readable(sample: Sample) -> bool:
    """False for what another version of the studio wrote before an update."""
    return set(sample.values) == _NAMES


def leases(host: str, device: str) -> QuerySet[DeviceLease]:
    """Jobs that hold a device, with the memory they were promised."""
    return DeviceLease.objects.filter(host=host, device=device).select_related("job").order_by("job_id")


def latest_json(host: str) -> dict[str, Any]:
    """The newest reading for scripts; `reading` is null when there is none."""
    found = latest(host)
    if found is None:
        return {"host": host, "at": None, "age_s": None, "is_stale": True, "reading": None}
    return {
        "host": host,
        "at": found.at.isoformat(),
        "age_s": round(found.age_s, 1),
        "is_stale": found.is_stale,
        "reading": found.reading.to_json(),
    }
