"""publish(topic): tell every hub that what a topic shows has changed. Only the name travels; the hub reads the rows.

PostgreSQL: NOTIFY, delivered at commit and dropped at rollback. SQLite: a Pulse row, seen by the hub's data_version poll.
"""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from apps.core.models import Pulse

CHANNEL = "live"
PULSE_KEPT = timedelta(seconds=60)


def publish(*topics: str) -> None:
    """Mark topics as changed, within the current transaction if there is one."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for topic in dict.fromkeys(topics):
                cursor.execute("select pg_notify(%s, %s)", [CHANNEL, topic])
        return
    Pulse.objects.bulk_create([Pulse(topic=topic) for topic in dict.fromkeys(topics)])


def pulses_prune() -> int:
    """Delete Pulse rows that every hub has seen long ago; returns how many."""
    return Pulse.objects.filter(at__lt=timezone.now() - PULSE_KEPT).delete()[0]
