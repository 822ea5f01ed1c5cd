"""`manage.py training_resume RUN`: go on from the checkpoint."""

from apps.jobs.models import Job
from apps.jobs.services import job_resume
from apps.training.commands import TrainingWishCommand


class Command(TrainingWishCommand):
    help = "Let a paused training run go on from its checkpoint."
    asked = "queued again"

    def ask(self, job: Job) -> None:
        job_resume(job=job)
