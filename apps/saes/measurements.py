"""The numbers of an evaluation as pages show them: each with its formula and the n behind it."""

from dataclasses import dataclass

from apps.core.charts import Chart, Series
from apps.core.templatetags.studio import percent, significant
from apps.saes.models import Evaluation
from apps.saes.selectors import density_bins


@dataclass(frozen=True)
class Metric:
    """One number with its meaning: what components/metric.html shows."""

    label: str
    value: str
    n: int | None = None
    n_unit: str = "tokens"
    unit: str = ""
    help: str = ""
    formula: str = ""
    note: str = ""


def evaluation_metrics(evaluation: Evaluation) -> list[Metric]:
    """The numbers of a finished evaluation, in the order in which one reads them."""
    report = evaluation.report
    tokens, ce_tokens = evaluation.tokens, report.get("ce_tokens")
    as_trained = report.get("fvu_as_trained")
    return [
        Metric(
            "L0",
            significant(evaluation.l0),
            tokens,
            help="Latents that fire for a token, on average. Position 0 and sink tokens are left out.",
            formula="mean over tokens of #{i : fᵢ > 0}",
        ),
        Metric(
            "FVU",
            significant(evaluation.fvu),
            tokens,
            help="Share of variance that the SAE does not explain. Position 0 and sink tokens, whose norm is above "
            "the SAE's sink threshold, are left out: a few of them would carry most of the variance.",
            formula="Σ‖x − x̂‖² / Σ‖x − mean(x)‖², mean per dimension",
            note=f"{significant(as_trained)} within the length of its training's contexts"
            if as_trained is not None
            else "",
        ),
        Metric(
            "FVU with sinks",
            significant(evaluation.fvu_with_sinks),
            tokens + report.get("sink_tokens", 0) + report.get("special_tokens", 0),
            help="The same over every position but 0, sink tokens included: what other reports often give. The SAE was "
            "not trained on sink tokens.",
            formula="Σ‖x − x̂‖² / Σ‖x − mean(x)‖², mean per dimension",
            note=f"{report.get('sink_tokens', 0):,} sink tokens{_special(report)}",
        ),
        Metric(
            "CE recovered",
            percent(evaluation.ce_recovered),
            ce_tokens,
            help="How much of the language model's performance survives when the SAE's reconstruction replaces the "
            "activation: 100 % as without the SAE, 0 % as with zeros in its place.",
            formula="(CE_zero − CE_sae) / (CE_zero − CE_clean)",
            note=_cross_entropies(report),
        ),
        Metric(
            "Alive latents",
            percent(evaluation.alive_share),
            tokens,
            help="Share of latents that fired at least once in these held-out tokens; the others are called dead here. Rare "
            "ones need more tokens than these to show themselves.",
            formula="#{i : fᵢ > 0 for some token} / d_sae",
        ),
    ]


def _special(report: dict[str, float]) -> str:
    left_out = report.get("special_tokens", 0)
    return f", {left_out:,} special tokens" if left_out else ""


def _cross_entropies(report: dict[str, float]) -> str:
    names = {"clean": "ce_clean", "SAE": "ce_sae", "zero": "ce_zero"}
    known = [f"{words} {significant(report[name])}" for words, name in names.items() if name in report]
    return f"CE in nats: {', '.join(known)}" if known else ""


def density_chart(evaluation: Evaluation) -> Chart:
    """How many latents fire how often."""
    centres, counts = density_bins(evaluation)
    total, often = sum(counts), sum(count for at, count in zip(centres, counts) if at > -1)
    return Chart(
        id="density",
        title="Density of latents",
        x_title="log₁₀ of the share of tokens on which a latent fires",
        y_title="latents",
        series=[Series("latents", centres, counts, kind="bar")],
        can_log_y=True,
        help="A healthy SAE has most latents between −4 and −2. Latents that fire on more than a tenth of all tokens are "
        f"rarely readable; those that fired on none of the {evaluation.tokens:,} tokens are not in the chart.",
        formula="density = tokens with fᵢ > 0 / tokens",
        summary=f"{total:,} latents fire, {often:,} of them on more than a tenth of the tokens.",
    )
