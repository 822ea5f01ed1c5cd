"""An ablation of feature 5 of the SAE of worlds.py, and what the engine answers: it helps at its peak, and hardly elsewhere."""

from django.utils import timezone

from apps.features.ablation.services import ablation_start
from apps.features.models import Ablation
from apps.jobs.models import Job
from apps.saes.models import Sae
from workers.engine.specs.ablation import AblatedContext, AblateResult, AblateSpec, AblationEffect


def ablation_make(sae: Sae, index: int = 5, *, is_ready: bool = False) -> Ablation:
    """The row with its job, measured or not."""
    ablation = ablation_start(spec=AblateSpec(sae=sae.pk, index=index))
    if is_ready:
        Job.objects.filter(pk=ablation.job.pk).update(state="succeeded")
        ablation.report, ablation.ready_at = ablate_result_make().to_json(), timezone.now()
        ablation.save()
    return ablation


def context_make(number: int) -> AblatedContext:
    """ "the wind .": it fires on "wind", and without it "." is harder and "Ċ" a little easier to predict."""
    return AblatedContext(
        context=number,
        tokens=("<|end|>", "Ġthe", "Ġwind", ".", "Ċ"),
        activations=(0.0, 0.0, 4.0, 0.0, 0.0),
        deltas=(0.0, 0.0, 0.001, 0.8, -0.2),
        peak=2,
    )


def ablate_result_make(contexts: int = 4) -> AblateResult:
    """Four top contexts, nothing certain on the random ones."""
    return AblateResult(
        top=AblationEffect(mean=0.0625, stderr=0.01, predictions=16, contexts=4),
        at_peak=AblationEffect(mean=0.8, stderr=0.05, predictions=4, contexts=4),
        after_peak=AblationEffect(mean=-0.2, stderr=0.02, predictions=4, contexts=4),
        random=AblationEffect(mean=0.0001, stderr=0.0002, predictions=32, contexts=8),
        top_firings=4,
        random_firings=1,
        random_contexts_firing=1,
        top_ce_clean=3.0,
        shown=tuple(context_make(number) for number in range(contexts)),
        seconds=2.5,
    )
