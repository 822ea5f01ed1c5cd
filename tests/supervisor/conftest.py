"""Jobs to claim and workers to claim them."""

import os

import pytest
from django.utils import timezone

from apps.jobs.models import Job, Worker
from workers.engine.specs.kinds import SPECS
from workers.engine.specs.priorities import PRIORITIES
from workers.supervisor import claiming
from workers.supervisor.processes import process_started

SPEC_VALUES = {
    "dataset_import": {"source": "file", "path": "/nowhere.txt"},
    "language_model_import": {"source": "folder", "path": "/nowhere"},
    "tokenize": {"dataset": 1, "language_model": 1},
    "activation_cache": {"tokenization": 1, "language_model": 1, "layer": 0},
    "train": {"activation_cache": 1},
    "evaluate": {"sae": 1, "tokenization": 1},
    "feature_run": {"sae": 1, "tokenization": 1},
    "feature_language": {"run": 1},
    "steer": {"sae": 1, "features": [{"index": 0, "strength": 1.0}], "prompt": "Hello"},
    "export": {"sae": 1},
}


def make_job(kind: str = "train", **values) -> Job:
    """A queued job of a kind, about nothing that exists."""
    spec = SPECS[kind].from_json(SPEC_VALUES[kind])
    values = {"subject_entity": "trainings", "subject_id": Job.objects.count() + 1000, **values}
    return Job.objects.create(
        kind=kind,
        queue=spec.QUEUE,
        title=spec.TITLE,
        **{"priority": PRIORITIES[kind], "device_wish": getattr(spec, "device", ""), **values},
        spec=spec.to_json(),
    )


@pytest.fixture
def worker(db) -> Worker:
    pid = os.getpid()
    return Worker.objects.create(
        host=claiming.HOST, pid=pid, pid_started=process_started(pid), heartbeat_at=timezone.now()
    )


class FixedRunner:
    """A runner whose only talent is an estimate."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes

    def memory_bytes(self, spec) -> int:
        return self._memory_bytes


@pytest.fixture
def needs_bytes(monkeypatch):
    """Set how much memory every job says it needs."""

    def set_needed(count: int) -> None:
        monkeypatch.setattr(claiming, "runner_for", lambda kind: FixedRunner(count))

    set_needed(0)
    return set_needed


@pytest.fixture
def has_devices(monkeypatch):
    """Set which devices the host has: (name, total, free)."""

    def set_devices(*known: tuple[str, int, int]) -> None:
        monkeypatch.setattr(claiming, "devices", lambda: tuple(claiming.Device(*each) for each in known))

    set_devices(("cpu", 1000, 1000))
    return set_devices
