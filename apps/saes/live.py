"""Live fragments of SAEs: the numbers on an SAE's page, the state of each evaluation there."""

from typing import Any

from django.template.loader import render_to_string

from apps.core.asking import row_or_none
from apps.core.live.rendering import renders
from apps.core.live.topics import EVALUATIONS, SAES, topic
from apps.saes.measurements import evaluation_metrics
from apps.saes.models import Evaluation, Sae
from apps.saes.reading import read_as_of, reading_notes
from apps.saes.selectors import newest_finished, tokenizations_for


def measured_context(sae: Sae) -> dict[str, Any]:
    """What the part of the page with the newest numbers is made of."""
    evaluation = newest_finished(sae)
    return {
        "sae": sae,
        "topic": topic(SAES, sae.pk),
        "evaluation": evaluation,
        "metrics": evaluation_metrics(evaluation) if evaluation else [],
        "read_as": read_as_of(evaluation.report).words if evaluation else "",
        "notes": reading_notes(sae, evaluation.report) if evaluation else [],
        "has_evaluations": sae.evaluations.exists(),
        "can_evaluate": tokenizations_for(sae).exists(),
    }


@renders(SAES)
def render_sae(pk: str) -> str | None:
    """saes/<id>; None when the SAE is gone."""
    sae = row_or_none(Sae.objects.select_related("language_model"), pk)
    return None if sae is None else render_to_string("saes/detail.html#measured", measured_context(sae))


@renders(EVALUATIONS)
def render_evaluation(pk: str) -> str | None:
    """evaluations/<id>: its state on the SAE's page; None when it is gone."""
    evaluation = row_or_none(Evaluation.objects.all(), pk)
    if evaluation is None:
        return None
    return render_to_string("saes/detail.html#state", {"evaluation": evaluation, "job": evaluation.job})
