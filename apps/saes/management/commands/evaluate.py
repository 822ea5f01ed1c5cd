"""`manage.py evaluate`: measure an SAE on held-out documents."""

from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.saes.services import evaluation_start
from workers.engine.specs.saes import EvaluateSpec


class Command(SpecCommand):
    help = "Measure an SAE on held-out documents."
    spec_class = EvaluateSpec

    def start(self, spec: EvaluateSpec) -> Job:
        return evaluation_start(spec=spec).job
