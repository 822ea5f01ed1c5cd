"""Live fragments of SAEs: the numbers in the list. The page of an SAE asks for its measured part anew when they change."""

from django.template.loader import render_to_string

from apps.core.live.rendering import renders
from apps.core.live.topics import EVALUATIONS, SAES
from apps.saes.models import Evaluation, Sae
from apps.saes.selectors import newest_finished


@renders(SAES)
def render_sae(pk: str) -> str | None:
    """saes/<id>; None when the SAE is gone."""
    sae = Sae.objects.filter(pk=pk).first() if pk.isdecimal() else None
    if sae is None:
        return None
    return render_to_string("saes/list.html#numbers", {"sae": sae, "evaluation": newest_finished(sae)})


@renders(EVALUATIONS)
def render_evaluation(pk: str) -> str | None:
    """evaluations/<id>: its row on the SAE's page; None when it is gone."""
    evaluations = Evaluation.objects.select_related("sae", "tokenization__dataset")
    evaluation = evaluations.filter(pk=pk).first() if pk.isdecimal() else None
    if evaluation is None:
        return None
    context = {"evaluation": evaluation, "job": evaluation.job}
    return render_to_string("saes/detail.html#state", context)
