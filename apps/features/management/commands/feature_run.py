"""`manage.py feature_run --sae 1 --tokenization 1 --wait`: find the features of an SAE."""

from apps.features.models import FeatureRun
from apps.features.services import feature_run_start
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from workers.engine.specs.features import FeatureRunSpec


class Command(SpecCommand):
    help = "Fill statistics, examples and logit lists for every latent of an SAE."
    spec_class = FeatureRunSpec

    def start(self, spec: FeatureRunSpec) -> Job:
        """The job of a new feature run."""
        return feature_run_start(spec=spec).job

    def show(self, job: Job) -> None:
        """Where the reading was not that of the training."""
        for note in FeatureRun.objects.select_related("sae").get(pk=job.subject_id).notes:
            self.stdout.write(note)
