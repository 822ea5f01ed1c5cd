"""`manage.py studio`: the whole studio as one process tree: web pages, workers, sampler. Ctrl-C drains and ends it."""

import fcntl
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.utils import timezone

from apps.core.arguments import whole
from apps.core.commands import database_words
from apps.core.errors import AppError
from apps.core.schema import schema_prepare
from apps.core.services import bind_check, entry_url_make, owner_ensure
from apps.core.storage import tmp_sweep
from apps.core.troubles import ridden_out, tried, trouble_of
from apps.jobs.models import Job, Worker
from apps.jobs.services import wake_send
from apps.jobs.states import ON_WORKER
from apps.language_models.services import vocabularies_rebuild
from workers.process_tree import Member, ProcessTree
from workers.supervisor.attempt import out_dir
from workers.supervisor.claiming import HOST
from workers.supervisor.reaping import interrupted_requeue, reap
from workers.supervisor.waking import worker_registered

LARGEST_PORT = 65_535
DRAINED_BY_S = 9.0
"""After the signal: what takes longer to end in order is killed. Longer than a job's own grace."""
STOPPED_BY_S = 11.0
"""After the signal, of web, workers and sampler. Before the watchdog of each ends it, so that all is gone within 15 s."""
LOOK_EVERY_S = 0.25
BEAT_EVERY_S = 3.0
BUSY_MS = 2000
"""How long this process waits for SQLite's lock: it must hear signals meanwhile."""


FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""Each page is made in a thread of its own: with a heap for each of them, memory would grow for hours."""


class Command(BaseCommand):
    requires_system_checks = ()  # they import every page, and this process shows none
    help = "Start the studio: web pages, workers and sampler in one process tree. Ctrl-C drains and ends it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.HOST, help="address to listen on (default: loopback)")
        parser.add_argument(
            "--port", type=whole, default=settings.PORT, help="port of the web pages; 0 takes a free one"
        )

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        self.signals: list[float] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: self.signals.append(time.monotonic()))
        lock = studio_lock()
        try:
            self._prepare()
            listener = self._listen(host, port)
        except AppError as error:
            raise CommandError(f"{error.message} {error.hint}") from None
        except (DatabaseError, OSError) as error:
            trouble = trouble_of(error)
            if trouble is not None:
                raise CommandError(f"{trouble.message} {trouble.hint}") from None
            if isinstance(error, OSError):
                raise
            raise CommandError(database_words(error)) from None
        with worker_registered(Worker.Role.STUDIO, give_up=lambda: bool(self.signals)) as own:
            ridden_out(lambda: self._begin(own), give_up=lambda: bool(self.signals))
            tree = ProcessTree(_members(listener), on_start=_started, report=self.stderr.write)
            tree.start()
            self._announce(host, listener.getsockname()[1])
            self._look_after(tree, own)
            self._drain(tree, own)
            tree.stop(self._left_s(STOPPED_BY_S), hurry=lambda: len(self.signals) > 1)
            tried(reap)
        lock.close()
        self.stdout.write("The studio has ended.")

    def _listen(self, host: str, port: int) -> socket.socket:
        """The listening socket, made before anything else starts: a taken port is a clear sentence."""
        bind_check(host)
        if port > LARGEST_PORT:
            raise CommandError(f"There is no port {port}: they end at {LARGEST_PORT}.")
        host = host.strip("[]")
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
            reason = getattr(error, "strerror", None) or error
            words = f"Port {port} on {host} cannot be used: {reason}. Choose another with --port or --host."
            raise CommandError(words) from None
        os.set_inheritable(listener.fileno(), True)
        return listener

    def _prepare(self) -> None:
        copy = schema_prepare()
        if copy:
            self.stdout.write(f"The database was copied to {copy.name} and migrated.")
        owner_ensure()

    def _begin(self, own: Worker) -> None:
        """Take up what an earlier end left: lost jobs, interrupted jobs, half-written folders."""
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(f"pragma busy_timeout = {BUSY_MS}")
        Worker.objects.filter(host=HOST, role=Worker.Role.STUDIO).exclude(pk=own.pk).delete()
        reap()
        tmp_sweep(keep={out_dir(job.pk, job.attempt).name for job in Job.objects.filter(state__in=ON_WORKER)})
        resumed = interrupted_requeue()
        if resumed:
            self.stdout.write(f"{resumed} interrupted job{'s' * (resumed > 1)} will go on.")
        rebuilt = len(vocabularies_rebuild())
        if rebuilt:
            self.stdout.write(
                f"{rebuilt} vocabular{'ies' if rebuilt > 1 else 'y'} of an older version will be stored again."
            )

    def _announce(self, host: str, port: int) -> None:
        address = f"http://{'localhost' if host in ('127.0.0.1', '::1') else host}:{port}"
        tried(lambda: (settings.DATA_DIR / "studio.url").write_text(address))
        self.stdout.write(f"\nmiStudio runs at {address}")
        tried(lambda: self.stdout.write(f"Sign in once with  {entry_url_make(base_url=address)}"))
        self.stdout.write("Ctrl-C ends it; running jobs go on at the next start.\n")
        self.stdout.flush()

    def _look_after(self, tree: ProcessTree, own: Worker) -> None:
        """Restart what crashes and show that the studio lives, until a signal comes."""
        next_beat = 0.0
        while not self.signals:
            tree.look_after()
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + BEAT_EVERY_S
                tried(lambda: Worker.objects.filter(pk=own.pk).update(heartbeat_at=timezone.now()))
            time.sleep(LOOK_EVERY_S)

    def _drain(self, tree: ProcessTree, own: Worker) -> None:
        """Let supervisors interrupt their jobs and wait until they have. They hear of it by the lifeline, whatever state
        the database is in; the row tells commands that this studio takes no jobs any more."""
        self.stdout.write("Draining: running jobs write a checkpoint …")
        self.stdout.flush()
        tree.let_go()
        tried(lambda: Worker.objects.filter(pk=own.pk).update(draining=True))
        while self._left_s(DRAINED_BY_S) > 0 and len(self.signals) < 2:
            if tried(self._look_for_work) and not self._has_work:
                return
            time.sleep(0.1)

    def _look_for_work(self) -> None:
        busy = Worker.objects.filter(host=HOST).exclude(role=Worker.Role.STUDIO).exists()
        self._has_work = busy or Job.objects.filter(host=HOST, state__in=ON_WORKER).exists()

    def _left_s(self, by_s: float) -> float:
        """Seconds left until `by_s` after the first signal."""
        return self.signals[0] + by_s - time.monotonic()


def studio_lock() -> TextIO:
    """The lock of this data folder; CommandError when another studio holds it."""
    lock = (settings.DATA_DIR / "studio.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        url = settings.DATA_DIR / "studio.url"
        where = f" at {url.read_text()}" if url.exists() else ""
        raise CommandError(f"A studio already runs on this data folder{where}. Use it, or end it first.") from None
    return lock


def _members(listener: socket.socket) -> list[Member]:
    manage = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]
    daphne = [
        sys.executable,
        "-m",
        "daphne",
        "--fd",
        str(listener.fileno()),
        "-v",
        "0",  # no line for every request: the address above must stay in sight
        "mistudio_site.asgi:application",
    ]
    settings_module = {"DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"]}
    return [
        Member("web", daphne, pass_fds=(listener.fileno(),), environment=settings_module | FEW_ARENAS),
        Member("workers", [*manage, "workers", "--skip-checks"], environment=settings_module),
        Member("sampler", [*manage, "sampler", "--skip-checks"], environment=settings_module),
    ]


def _started(name: str) -> None:
    """A fresh cluster may have lost the messages of the one before: wake it once for each slot."""
    if name == "workers":
        for _ in range(max(1, sum(settings.SLOTS.values()))):
            tried(wake_send)
