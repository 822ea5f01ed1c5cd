"""What pages, endpoints and commands read of SAEs and their evaluations."""

from typing import Any

from django.db.models import Prefetch, Q, QuerySet

from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.core.storage import data_path
from apps.datasets.models import Tokenization
from apps.saes.models import Evaluation, Sae
from apps.saes.reading import provenance, reading_notes

HISTOGRAM_FIRST, HISTOGRAM_STEP = -7.0, 0.25
"""Left edge and width of the bins of EvaluateResult.density_histogram, log10."""


def sae_get(pk: int) -> Sae:
    """The SAE; NotFound otherwise."""
    return row_of(Sae.objects.select_related("language_model", "tokenization", "training_run"), "SAE", pk)


def sae_list(*, query: str = "", architecture: str = "", language_model: int | None = None) -> QuerySet[Sae]:
    """SAEs newest first with their finished evaluations; `query` searches names, language models and hook sites."""
    finished = Evaluation.objects.filter(ready_at__isnull=False).order_by("-id")
    saes = Sae.objects.select_related("language_model").prefetch_related(
        Prefetch("evaluations", queryset=finished, to_attr="finished_evaluations")
    )
    if query:
        by_words = found_by(Sae.objects.all(), query, "name", "language_model__name")
        saes = saes.filter(Q(pk__in=by_words.values("pk")) | Q(site=query))
    if architecture:
        saes = saes.filter(architecture=architecture)
    if language_model:
        saes = saes.filter(language_model=language_model)
    return saes


def newest_finished(sae: Sae) -> Evaluation | None:
    """The newest finished evaluation, without a query for SAEs of `sae_list`."""
    loaded = getattr(sae, "finished_evaluations", None)
    return sae.evaluation if loaded is None else next(iter(loaded), None)


def tokenizations_for(sae: Sae) -> QuerySet[Tokenization]:
    """Ready tokenizations that the SAE's language model can read and that hold something back."""
    return Tokenization.objects.select_related("dataset", "language_model").filter(
        ready_at__isnull=False,
        heldout_contexts__gt=0,
        tokenizer_sha256=sae.language_model.tokenizer_sha256,
    )


def sae_loading_code(sae: Sae) -> str:
    """Python that loads the SAE's folder with SAELens, on the machine that holds it."""
    return f'from sae_lens import SAE\n\nsae = SAE.load_from_disk("{data_path("saes", sae.pk).as_posix()}")'


def density_bins(evaluation: Evaluation) -> tuple[list[float], list[int]]:
    """Centres of the histogram's bins (log10 density) and the number of latents in each."""
    counts = evaluation.report.get("density_histogram", [])
    return [HISTOGRAM_FIRST + HISTOGRAM_STEP * (i + 0.5) for i in range(len(counts))], list(counts)


def sae_json(sae: Sae) -> dict[str, Any]:
    """An SAE as the API and `--json` show it, with the numbers of its newest finished evaluation."""
    evaluation = newest_finished(sae)
    return {
        "id": sae.pk,
        "name": sae.name,
        "source": sae.source,
        "language_model": {"id": sae.language_model_id, "name": sae.language_model.name},
        "training_run": sae.training_run_id,
        "tokenization": sae.tokenization_id,
        "hook_site": sae.hook_site,
        "architecture": sae.architecture,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "bytes": sae.bytes,
        "weights_sha256": sae.weights_sha256,
        "evaluation": evaluation_json(evaluation) if evaluation else None,
        "created_at": sae.created_at.isoformat(),
        "url": sae.get_absolute_url(),
        "topic": f"{sae.ENTITY}/{sae.pk}",
    }


def sae_json_full(sae: Sae) -> dict[str, Any]:
    """An SAE with its way of encoding, its provenance and all its evaluations."""
    return {
        **sae_json(sae),
        "encode": sae.encode,
        "provenance": provenance(sae),
        "evaluations": [evaluation_json(evaluation) for evaluation in sae.evaluations.all()],
    }


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """The numbers of one evaluation; None where it has not finished."""
    return {
        "id": evaluation.pk,
        "tokenization": evaluation.tokenization_id,
        "is_ready": evaluation.is_ready,
        "tokens": evaluation.tokens,
        "fvu": evaluation.fvu,
        "fvu_with_sinks": evaluation.fvu_with_sinks,
        "l0": evaluation.l0,
        "dead_share": evaluation.dead_share,
        "ce_recovered": evaluation.ce_recovered,
        "report": evaluation.report,
        "notes": reading_notes(evaluation.sae, evaluation.report),
        "created_at": evaluation.created_at.isoformat(),
    }
