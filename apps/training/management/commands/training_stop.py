"""`manage.py training_stop RUN`: stop a run for good, without an SAE."""

from apps.jobs.models import Job
from apps.jobs.services import job_cancel
from apps.training.commands import TrainingWishCommand


class Command(TrainingWishCommand):
    help = "Stop a training run and keep nothing but its charts."
    asked = "asked to stop"

    def ask(self, job: Job) -> None:
        job_cancel(job=job)
