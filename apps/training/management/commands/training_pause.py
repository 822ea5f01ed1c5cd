"""`manage.py training_pause RUN`: write a checkpoint and wait."""

from apps.jobs.models import Job
from apps.jobs.services import job_pause
from apps.training.commands import TrainingWishCommand


class Command(TrainingWishCommand):
    help = "Let a training run write a checkpoint and wait."
    asked = "asked to pause"

    def ask(self, job: Job) -> None:
        job_pause(job=job)
