"""`manage.py training_checkpoint RUN`: write a checkpoint now and go on."""

from apps.jobs.models import Job
from apps.jobs.services import job_checkpoint
from apps.training.commands import TrainingWishCommand


class Command(TrainingWishCommand):
    help = "Let a training run write a checkpoint now and go on."
    asked = "asked for a checkpoint"

    def ask(self, job: Job) -> None:
        job_checkpoint(job=job)
