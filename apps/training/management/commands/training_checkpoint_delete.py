"""`manage.py training_checkpoint_delete RUN CHECKPOINT`: delete one checkpoint."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.templatetags.studio import bytes_words
from apps.training.commands import run_argument
from apps.training.selectors import checkpoint_get, training_get
from apps.training.services import checkpoint_delete


class Command(StudioCommand):
    help = "Delete one checkpoint of a training run; a run that has not finished keeps its newest."

    def add_arguments(self, parser: CommandParser) -> None:
        run_argument(parser)
        parser.add_argument("checkpoint", type=whole, help="id of the checkpoint, as training_show lists them")
        parser.add_argument("--json", action="store_true", help="print one object")

    def work(self, **options: Any) -> None:
        pk = options["checkpoint"]
        freed = checkpoint_delete(checkpoint=checkpoint_get(training_get(options["run"]), pk))
        done = {"deleted": pk, "freed_bytes": freed}
        self.stdout.write(json.dumps(done) if options["json"] else f"Deleted; {bytes_words(freed)} freed.")
