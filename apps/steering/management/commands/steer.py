"""`manage.py steer --sae 1 --features "12:4,77:-2" --prompt "…" --wait`: generate with and without steering."""

from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.jobs.states import State
from apps.saes.reading import reading_notes
from apps.steering.models import Experiment
from apps.steering.selectors import experiment_get, generations_of
from apps.steering.services import experiment_start
from workers.engine.specs.steering import SteerSpec


class Command(SpecCommand):
    help = "Generate text with feature directions added to the language model, beside the untouched model."
    spec_class = SteerSpec

    def start(self, spec: SteerSpec) -> Job:
        """The job of a new experiment."""
        return experiment_start(spec=spec).job

    def follow(self, job: Job, *, wait: bool, as_json: bool) -> Job:
        """As for every job; without --json also both texts once they are there."""
        job = super().follow(job, wait=wait, as_json=as_json)
        if job.state == State.SUCCEEDED and not as_json:
            self._show(experiment_get(job.subject_id))
        return job

    def _show(self, experiment: Experiment) -> None:
        baseline, steered = generations_of(experiment)
        self.stdout.write(f"baseline: {experiment.prompt}{baseline.text}")
        self.stdout.write(f"steered:  {experiment.prompt}{steered.text}")
        self.stdout.write(
            f"Added length {experiment.delta_norm:.4g} to activations of mean length {experiment.activation_norm:.4g}."
        )
        for note in reading_notes(experiment.sae, experiment.report):
            self.stdout.write(note)
