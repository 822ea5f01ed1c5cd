"""`manage.py demo`: from raw text to a steered model, on a small real model, as jobs; then the studio with the results."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.arguments import whole
from apps.core.errors import AppError
from apps.core.schema import schema_prepare
from apps.core.services import entry_url_make, owner_ensure
from apps.home.demo import Demo, report_lines
from apps.jobs.commands import ProgressBar, job_wait
from apps.jobs.models import Job
from apps.steering.models import Experiment
from workers.supervisor.foreground import is_served

STUDIO_STARTS_WITHIN_S = 60


class Command(BaseCommand):
    help = "Walk through the whole pipeline on SmolLM2 and real English text, then leave the studio running."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--tokens", type=whole, default=320_000, help="tokens to run through the model (default 320,000)"
        )
        parser.add_argument("--no-serve", action="store_true", help="end when the report is printed")
        parser.add_argument("--json", action="store_true", help="print the report as one JSON object in the last line")

    def handle(self, *args: Any, tokens: int, no_serve: bool, **options: Any) -> None:
        if tokens < 5_000:
            raise CommandError("--tokens must be at least 5,000: with fewer there is nothing to learn from.")
        try:
            schema_prepare()
            owner_ensure()
            studio = None if no_serve or is_served() else self._studio_start()
            figures = self._walk(tokens)
        except AppError as error:
            raise CommandError(f"{error.message} {error.hint}".strip()) from None
        if not no_serve:
            self._announce()
        if options["json"]:
            self.stdout.write(json.dumps(figures))
            self.stdout.flush()
        if studio is not None:
            self._stay(studio)

    def _walk(self, tokens: int) -> dict[str, Any]:
        demo = Demo(tokens=tokens, wait=self._wait, say=self.stdout.write)
        figures = demo.run()
        experiment = Experiment.objects.select_related("sae").latest("id")
        for line in report_lines(figures, experiment, experiment.sae):
            self.stdout.write(line)
        return figures

    def _wait(self, job: Job) -> Job:
        began = time.monotonic()
        job = job_wait(job, bar=ProgressBar())
        self.stdout.write(f"  {job.title:<24} {job.state:<10} {time.monotonic() - began:6.1f} s")
        self.stdout.flush()
        return job

    def _studio_start(self) -> subprocess.Popen:
        """The studio in a session of its own, so that Ctrl-C reaches it through us only."""
        studio = subprocess.Popen(
            [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "studio"],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        until = time.monotonic() + STUDIO_STARTS_WITHIN_S
        while not is_served():
            if studio.poll() is not None or time.monotonic() > until:
                raise AppError(
                    "studio_did_not_start",
                    "The studio did not start.",
                    "Run `make studio` to see why; its logs are in DATA_DIR/logs.",
                )
            time.sleep(0.2)
        return studio

    def _announce(self) -> None:
        address = (settings.DATA_DIR / "studio.url").read_text()
        self.stdout.write(f"\nThe studio runs at {address} with every result in it.")
        self.stdout.write(f"Sign in once with  {entry_url_make(base_url=address)}")
        self.stdout.flush()

    def _stay(self, studio: subprocess.Popen) -> None:
        """Hold the terminal until Ctrl-C or SIGTERM, then let the studio drain."""
        self.stdout.write("Ctrl-C ends it.")
        self.stdout.flush()

        def end(number: int, frame: object) -> None:
            os.kill(studio.pid, signal.SIGTERM)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        studio.wait()
