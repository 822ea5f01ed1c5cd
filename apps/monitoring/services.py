"""Samples of the machine go in; those older than the ring's hour go out."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.core.live.publishing import publish
from apps.core.live.topics import SYSTEM, SYSTEM_PARTS, gpu_topic, topic
from apps.monitoring.models import Sample
from workers.engine.monitor.readings import Reading

KEPT = timedelta(hours=1)


def sample_store(*, host: str, reading: Reading, at: datetime | None = None) -> Sample:
    """Keep one reading of a host, with its time in whole milliseconds, and tell the pages that show it."""
    at = at or timezone.now()
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)  # charts ask for what is later than the text they show
    with transaction.atomic():
        sample = Sample.objects.create(host=host, at=at, values=reading.to_json())
        publish(*[topic(SYSTEM, part) for part in SYSTEM_PARTS], *[gpu_topic(gpu.index) for gpu in reading.gpus])
    return sample


def samples_prune() -> int:
    """Delete samples older than an hour; how many went."""
    return Sample.objects.filter(at__lt=timezone.now() - KEPT).delete()[0]
