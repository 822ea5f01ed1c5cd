"""`manage.py dataset_lookup --repo-id ID --wait`: what the Hub says of a dataset, before any download."""

from apps.core.templatetags.studio import bytes_words
from apps.datasets.lookups import splits_estimated
from apps.datasets.selectors import lookup_get
from apps.datasets.services import dataset_lookup
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from workers.engine.specs.datasets import DatasetLookupSpec


class Command(SpecCommand):
    help = "Look a dataset up on the Hub: size, licence, splits, estimated tokens; --wait shows the answer."
    spec_class = DatasetLookupSpec

    def start(self, spec: DatasetLookupSpec) -> Job:
        return dataset_lookup(spec=spec).job

    def show(self, job: Job) -> None:
        """What the Hub said."""
        found = lookup_get(job.subject_id).report
        gated = ", gated" if found["gated"] else ""
        licence = found["licence"] or "no licence stated"
        self.stdout.write(f"{found['repo_id']} at {found['revision']}: {licence}{gated}")
        self.stdout.write(
            f"Configurations: {', '.join(found['configs']) or 'one'}; text column: {found['text_column']}"
        )
        for split in splits_estimated(found):
            rows = "rows unknown" if split.rows is None else f"{split.rows:,} rows"
            size = "" if split.bytes is None else f", {bytes_words(split.bytes)}"
            tokens = "" if split.tokens is None else f", about {split.tokens:,} tokens"
            self.stdout.write(f"{split.name}: {rows}{size}{tokens}")
