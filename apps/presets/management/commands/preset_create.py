"""`manage.py preset_create KIND NAME`: save options, or those of a job, as a preset."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.errors import AppError
from apps.jobs.selectors import job_get
from apps.presets.commands import options_argument
from apps.presets.kinds import KINDS
from apps.presets.selectors import preset_json
from apps.presets.services import options_of_job, preset_create


class Command(StudioCommand):
    help = "Save options, or what a job was asked for, as a preset."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=list(KINDS))
        parser.add_argument("name")
        parser.add_argument("--spec", help="the options as a JSON object: '{\"k\": 32}'")
        parser.add_argument("--job", type=whole, help="take the options of this job")
        parser.add_argument("--description", default="")
        parser.add_argument("--json", action="store_true", help="print the preset as one object")

    def work(self, **options: Any) -> None:
        if (options["spec"] is None) == (options["job"] is None):
            raise AppError("spec_invalid", "The options are not clear.", "Give either --spec or --job.")
        decided = options_argument(options["spec"]) if options["job"] is None else self._of_job(**options)
        made = preset_create(
            kind=options["kind"], name=options["name"], options=decided, description=options["description"]
        )
        self.stdout.write(json.dumps(preset_json(made)) if options["json"] else f"Preset {made.pk}: {made.name}.")

    def _of_job(self, *, kind: str, job: int, **known: Any) -> dict[str, Any]:
        found, decided = options_of_job(job_get(job))
        if found != kind:
            raise AppError("preset_kind", f"Job {job} gives a preset of the kind {found}.", f"Say {found}.")
        return decided
