"""`manage.py evaluate`: measure an SAE on held-out documents."""

from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.saes.measurements import evaluation_metrics
from apps.saes.models import Evaluation
from apps.saes.reading import reading_notes
from apps.saes.services import evaluation_start
from workers.engine.specs.saes import EvaluateSpec


class Command(SpecCommand):
    help = "Measure an SAE on held-out documents."
    spec_class = EvaluateSpec

    def start(self, spec: EvaluateSpec) -> Job:
        return evaluation_start(spec=spec).job

    def show(self, job: Job) -> None:
        """The numbers, each with its n, and where the reading was not that of the training."""
        evaluation = Evaluation.objects.select_related("sae").get(pk=job.subject_id)
        for metric in evaluation_metrics(evaluation):
            n = f"  n = {metric.n:,} {metric.n_unit}" if metric.n else ""
            self.stdout.write(f"{metric.label:16} {metric.value}{n}{f'  ({metric.note})' if metric.note else ''}")
        for note in reading_notes(evaluation.sae, evaluation.report):
            self.stdout.write(note)
