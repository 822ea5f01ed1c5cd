"""`manage.py training_finish RUN`: stop now and keep the SAE."""

from apps.jobs.models import Job
from apps.jobs.services import job_finish
from apps.training.commands import TrainingWishCommand


class Command(TrainingWishCommand):
    help = "Stop a training run now and keep the SAE as it is."
    asked = "asked to finish"

    def ask(self, job: Job) -> None:
        job_finish(job=job)
