"""`manage.py entry_url`: print a fresh one-time sign-in link for the owner."""

from json import dumps
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from apps.core.commands import StudioCommand
from apps.core.services import ENTRY_LIFE, entry_url_make


class Command(StudioCommand):
    help = "Print a fresh one-time sign-in link for the owner, good for 15 minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--base-url", help="address under which the browser reaches the studio")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def work(self, *, base_url: str | None, json: bool, **options: Any) -> None:
        url = entry_url_make(base_url=base_url or running_url())
        seconds = int(ENTRY_LIFE.total_seconds())
        self.stdout.write(dumps({"url": url, "expires_in_s": seconds}) if json else url)


def running_url() -> str:
    """Where the studio of this data folder runs, as `manage.py studio` noted it; else its configured port."""
    noted = settings.DATA_DIR / "studio.url"
    return noted.read_text().strip() if noted.exists() else f"http://localhost:{settings.PORT}"
