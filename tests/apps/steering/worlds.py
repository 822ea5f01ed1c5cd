"""A steering result written by hand, and an experiment that has it."""

from apps.jobs.models import Job
from apps.saes.models import Sae
from apps.steering.models import Experiment
from apps.steering.services import experiment_start
from workers.engine.specs.steering import SteeredFeature, SteerResult, SteerSpec


def result_make(steered_tokens: tuple[str, ...] = ("Ġis", "Ġwind"), steered: str = " is wind") -> SteerResult:
    return SteerResult(
        baseline=" is cold",
        steered=steered,
        baseline_tokens=("Ġis", "Ġcold"),
        steered_tokens=steered_tokens,
        raw_strengths=(3.0,),
        delta_norm=3.0,
        activation_norm=60.0,
        hook_calls=3,
        steered_positions=4,
        differs=True,
        seconds=0.5,
    )


def experiment_make(sae: Sae, prompt: str = "The weather") -> Experiment:
    """An experiment whose job waits in the queue."""
    spec = SteerSpec(sae=sae.pk, features=(SteeredFeature(index=4, strength=3.0),), prompt=prompt, unit="raw")
    return experiment_start(spec=spec)


def finished_experiment_make(sae: Sae, prompt: str = "The weather", result: SteerResult | None = None) -> Experiment:
    """An experiment that has been through its runner's finish."""
    from workers.runners.steer import SteerRunner

    experiment = experiment_make(sae, prompt)
    SteerRunner().finish(experiment.job, experiment.job.loaded_spec, result or result_make(), "nowhere")
    Job.objects.filter(pk=experiment.job.pk).update(state="succeeded")
    experiment.refresh_from_db()
    return experiment
