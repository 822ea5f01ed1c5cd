"""`manage.py sampler`: sample the machine every few seconds, and do the studio's periodic chores between samples."""

import signal
import socket
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.core.arguments import whole
from apps.core.troubles import tried
from apps.monitoring.services import sample_store, samples_prune
from workers.engine.monitor.readings import Sampler
from workers.supervisor.periodic import Periodic

LONGEST_WAIT_S = 1.0
PRUNE_EVERY_S = 60.0


class Command(BaseCommand):
    help = (
        "Sample the machine every MISTUDIO_MONITOR_INTERVAL_S; reap lost jobs and wake waiting ones. Ends on SIGTERM."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--count", type=whole, help="end after so many samples")

    def handle(self, *args: Any, count: int | None, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: stop.set())
        sampler, periodic, host = Sampler(settings.DATA_DIR), Periodic(), socket.gethostname()
        taken, next_sample, next_prune = 0, time.monotonic(), 0.0
        while not stop.is_set() and taken != count:
            now = time.monotonic()
            if now >= next_sample:
                next_sample = now + settings.MONITOR_INTERVAL_S
                tried(lambda: sample_store(host=host, reading=sampler.reading()))
                taken += 1
            if now >= next_prune:
                next_prune = now + PRUNE_EVERY_S
                tried(samples_prune)
            periodic.due()
            if taken != count:
                stop.wait(max(0.0, min(LONGEST_WAIT_S, next_sample - time.monotonic())))
