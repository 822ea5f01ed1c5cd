"""Pages of SAEs: the list, one with its measurements, a new evaluation."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.asking import choice_asked, id_asked, names_require
from apps.core.pages import delete_page, spec_page
from apps.core.selectors import row_of
from apps.language_models.models import LanguageModel
from apps.saes import services
from apps.saes.live import measured_context
from apps.saes.measurements import density_chart
from apps.saes.models import Evaluation
from apps.saes.reading import provenance, trained_as
from apps.saes.selectors import newest_finished, sae_get, sae_list, sae_loading_code
from apps.training.words import ARCHITECTURE_NAMES
from workers.engine.specs.saes import EvaluateSpec

PAGE_SIZE = 25


@require_GET
def list_page(request: HttpRequest) -> HttpResponse:
    """All SAEs, newest first, with the numbers of their newest evaluation."""
    names_require(request.GET, ("q", "architecture", "language_model", "page"))
    chosen = {name: request.GET.get(name, "") for name in ("q", "architecture", "language_model")}
    saes = sae_list(
        query=chosen["q"],
        architecture=choice_asked(chosen, "architecture", ARCHITECTURE_NAMES),
        language_model=id_asked(chosen, "language_model"),
    )
    page = Paginator(saes, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(sae, newest_finished(sae)) for sae in page],
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "architectures": list(ARCHITECTURE_NAMES.items()),
        "language_models": [(str(lm.pk), lm) for lm in LanguageModel.objects.filter(saes__isnull=False).distinct()],
    }
    return render(request, "saes/list.html", context)


@require_GET
def detail_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One SAE: what was measured, how it encodes, where it comes from, what was made of it."""
    sae = sae_get(pk)
    evaluations = [(row, row.job) for row in sae.evaluations.select_related("tokenization__dataset")]
    measured = measured_context(sae)
    evaluation = measured["evaluation"]
    context = {
        **measured,
        "topics": [measured["topic"], *[row.topic for row, job in evaluations if job and job.is_active]],
        "evaluations": evaluations,
        "density": density_chart(evaluation) if evaluation else None,
        "trained_as": trained_as(sae).words,
        "encode": sorted(sae.encode.items()),
        "provenance": flat(provenance(sae)),
        "feature_runs": sae.feature_runs.all()[:10],
        "exports": sae.exports.all()[:10],
        "python": sae_loading_code(sae),
    }
    return render(request, "saes/detail.html", context)


def flat(record: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested JSON as ("inputs.dataset.name", value) pairs, in order; empty values are left out."""
    pairs: list[tuple[str, Any]] = []
    for name, value in record.items():
        if isinstance(value, dict):
            pairs += flat(value, f"{prefix}{name}.")
        elif value not in (None, ""):
            pairs.append((f"{prefix}{name}", value))
    return pairs


def evaluate_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Start an evaluation; the tokenization that the SAE was trained on is proposed."""
    sae = sae_get(pk)
    initial = {"sae": sae.pk, "tokenization": sae.tokenization_id}
    return spec_page(request, EvaluateSpec, services.evaluation_start, "saes/evaluate.html", initial=initial, sae=sae)


@require_POST
def rename(request: HttpRequest, pk: int) -> HttpResponse:
    """Give the SAE another name."""
    sae = sae_get(pk)
    services.sae_rename(sae=sae, name=request.POST.get("name", ""))
    return redirect(sae)


def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, naming what goes along, then delete the SAE."""
    sae = sae_get(pk)
    losses = services.sae_losses(sae)
    note = f"With it go {', '.join(losses)}." if losses else ""
    return delete_page(request, sae, lambda: services.sae_delete(sae=sae), back_url=reverse("saes:list"), note=note)


@require_http_methods(["GET", "POST"])
def evaluation_delete(request: HttpRequest, pk: int, evaluation: int) -> HttpResponse:
    """Ask, then delete one evaluation of the SAE."""
    row = row_of(Evaluation.objects.select_related("sae").filter(sae=pk), "evaluation", evaluation)
    sae_url = row.sae.get_absolute_url()
    return delete_page(
        request,
        row,
        lambda: services.evaluation_delete(evaluation=row),
        back_url=sae_url,
        back_words=str(row.sae),
    )
