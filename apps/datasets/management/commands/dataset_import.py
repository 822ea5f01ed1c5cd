"""`manage.py dataset_import`: bring rows of text into the studio."""

from apps.datasets.services import dataset_import
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from workers.engine.specs.datasets import DatasetImportSpec


class Command(SpecCommand):
    help = "Bring rows of text into the studio, from the Hub or a local file."
    spec_class = DatasetImportSpec

    def start(self, spec: DatasetImportSpec) -> Job:
        return dataset_import(spec=spec).job
