"""`manage.py tokenize`: cut a dataset into contexts of tokens."""

from apps.datasets.tokenization_services import tokenization_create
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from workers.engine.specs.tokenization import TokenizeSpec


class Command(SpecCommand):
    help = "Cut a dataset into contexts of tokens."
    spec_class = TokenizeSpec

    def start(self, spec: TokenizeSpec) -> Job:
        return tokenization_create(spec=spec).job
