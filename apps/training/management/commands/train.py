"""`manage.py train`: train an SAE on an activation cache; with --wait its first evaluation is waited for as well."""

from apps.jobs.commands import ProgressBar, SpecCommand, job_wait
from apps.jobs.models import Job
from apps.jobs.states import State
from apps.training.services import training_start
from workers.engine.specs.training import TrainSpec


class Command(SpecCommand):
    help = "Train an SAE on an activation cache. A finished run queues an evaluation of its SAE."
    spec_class = TrainSpec

    def start(self, spec: TrainSpec) -> Job:
        self.run = training_start(spec=spec)
        return self.run.job

    def follow(self, job: Job, *, wait: bool, as_json: bool) -> Job:
        job = super().follow(job, wait=wait, as_json=as_json)
        if wait and job.state == State.SUCCEEDED:
            for sae in self.run.saes.all():
                for evaluation in sae.evaluations.all():
                    job_wait(evaluation.job, bar=None if as_json else ProgressBar())
                if not as_json:
                    self.stdout.write(f"SAE {sae.pk}: {sae}")
        return job
