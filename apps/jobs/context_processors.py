"""What keeps the studio from work, for the top of every page."""

from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.troubles import disk_trouble
from apps.jobs.models import Worker

SILENT_FOR = timedelta(seconds=45)
"""The studio writes its heartbeat every few seconds; a single write may wait 20 s for a lock."""


def troubles(request: HttpRequest) -> dict[str, object]:
    """`studio_trouble`: an AppError with message and hint, or None. Asked only where a template shows it."""
    return {"studio_trouble": _trouble}


def _trouble() -> AppError | None:
    full = disk_trouble()
    if full is not None:
        return full
    beats = Worker.objects.filter(role=Worker.Role.STUDIO, draining=False).values_list("heartbeat_at", flat=True)
    newest = max(beats, default=None)
    if newest is None or newest > timezone.now() - SILENT_FOR:
        return None
    return AppError(
        "database_silent",
        f"Nothing has been written to the database for {int((timezone.now() - newest).total_seconds())} s.",
        "Another program may hold its lock, or the studio's main process has ended: close that program, or start the "
        "studio again. Jobs go on by themselves.",
    )
