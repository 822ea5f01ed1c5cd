"""What earlier SAEs of the same kind at the same hook site came to: the best hint at the sparsity to ask for.

No formula for a coefficient carries over from one model to another; a neighbour that was trained here does.
"""

from collections.abc import Iterable
from math import log

from django.db.models import QuerySet

from apps.training.models import RunMember
from apps.training.origins import Origin
from workers.engine.specs.training import TOPK_FAMILY, TrainSpec

ALIKE = 1.5
"""Numbers that differ by this factor at most are alike."""
LEAST_RUNS = 2
MOST_READ = 50
MOST_NAMED = 6


def expected_l0(spec: TrainSpec, origin: Origin) -> tuple[float, float] | None:
    """Least and greatest L0 of earlier SAEs of this architecture, hook site, sparsity and sparsity loss; None where there
    are fewer than two, k decides it, or several sparsities are asked for."""
    if spec.architecture in TOPK_FAMILY or spec.sweep_coefficient:
        return None
    sparsity = getattr(spec, spec.coefficient_name)
    alike = _earlier(spec, origin).filter(sparsity__range=(sparsity / ALIKE, sparsity * ALIKE))
    found = list(alike.values_list("l0", flat=True)[:MOST_READ])
    return (min(found), max(found)) if len(found) >= LEAST_RUNS else None


def earlier_saes(spec: TrainSpec, origin: Origin) -> list[RunMember]:
    """The newest earlier SAE of each sparsity and width at the first hook site, those nearest to what is asked for, by
    sparsity."""
    newest: dict[tuple[float, int], RunMember] = {}
    for member in _earlier(spec, origin).filter(fvu__isnull=False).select_related("run")[:MOST_READ]:
        newest.setdefault((member.sparsity, member.d_sae), member)
    swept = spec.sweep_k if spec.coefficient_name == "k" else spec.sweep_coefficient
    asked = [float(value) for value in swept or (getattr(spec, spec.coefficient_name),)]
    nearest = sorted(newest.values(), key=lambda member: _distance(member.sparsity, asked))[:MOST_NAMED]
    return sorted(nearest, key=lambda member: (member.sparsity, member.d_sae))


def _distance(sparsity: float, asked: Iterable[float]) -> float:
    return min(abs(log(sparsity / each)) for each in asked)


def _earlier(spec: TrainSpec, origin: Origin) -> QuerySet[RunMember]:
    """SAEs of finished runs with this architecture, hook site and sparsity loss, newest first."""
    site = origin.hook_sites[0]
    found = RunMember.objects.filter(
        run__language_model=origin.language_model,
        run__ready_at__isnull=False,
        layer=site.layer,
        site=site.site,
        architecture=spec.architecture,
        l0__isnull=False,
    ).order_by("-id")
    if spec.architecture == "jumprelu":
        found = found.filter(run__spec__l0_loss=spec.l0_loss)
    if spec.architecture == "jumprelu" and spec.l0_loss == "quadratic":
        target = spec.target_l0
        found = found.filter(run__spec__target_l0__gte=target / ALIKE, run__spec__target_l0__lte=target * ALIKE)
    return found
