"""What is shown of a feature's ablation: the four means, and the top contexts token by token."""

import math
from dataclasses import dataclass
from typing import Any

from apps.core.errors import AppError
from apps.features.artifacts import run_folder, vocabulary_open
from apps.features.models import Ablation, Feature
from apps.jobs.subjects import with_job
from apps.saes.reading import reading_notes
from workers.engine.specs.ablation import AblatedContext, AblateResult, AblationEffect
from workers.engine.text.decoding import control_marked, visible
from workers.engine.text.spelling import Spelling
from workers.engine.text.tokens import token_texts

SHOWN_AT_ONCE = 3
"""Contexts on the page; the others stand behind a disclosure."""
LEAST_SHARE = 0.02
"""Below this share of the largest change a token is not tinted."""
NOISE = 2.0
"""A mean within so many standard errors of 0 is called no effect."""
FORMULA = "CE(x − f·W_dec) − CE(x)"
UNIT = "millinats"
"""One feature of thousands seldom moves a prediction by a whole nat."""


@dataclass(frozen=True)
class DeltaSpan:
    """One or more tokens shown together. `share` of the largest change as text for CSS, `tone` positive or negative."""

    text: str
    share: str = ""
    tone: str = ""
    tip: str = ""
    spoken: str = ""
    fires: bool = False
    is_peak: bool = False


@dataclass(frozen=True)
class DeltaStrip:
    """One context with the change at its peak: of the token behind it, None at the context's end."""

    context: int
    at_peak: float | None
    spans: tuple[DeltaSpan, ...]

    @property
    def at_peak_words(self) -> str:
        return signed(self.at_peak)


def delta_strip(shown: AblatedContext, spelling: Spelling, scale: float) -> DeltaStrip:
    """A context for the page; `scale` is the change at full tint."""
    texts, spans, quiet = token_texts(shown.tokens, spelling), [], ""
    for place, text in enumerate(texts):
        delta, value, is_peak = shown.deltas[place], shown.activations[place], place == shown.peak
        share = min(1.0, abs(delta) / scale) if scale else 0.0
        if share < LEAST_SHARE and not value and not is_peak:
            quiet += text
            continue
        if quiet:
            spans.append(DeltaSpan(control_marked(quiet)))
            quiet = ""
        tinted = share >= LEAST_SHARE
        spans.append(
            DeltaSpan(
                text=visible(text),
                share=f"{share:.3f}" if tinted else "",
                tone=("positive" if delta > 0 else "negative") if tinted else "",
                tip=f"{visible(text)} · Δ {signed(delta)} {UNIT}" + (f" · fires {value:.3g}" if value else ""),
                spoken=signed(delta) if tinted else "",
                fires=value > 0,
                is_peak=is_peak,
            )
        )
    if quiet:
        spans.append(DeltaSpan(control_marked(quiet)))
    after = shown.peak + 1
    return DeltaStrip(shown.context, shown.deltas[after] if after < len(shown.deltas) else None, tuple(spans))


def delta_strips(ablation: Ablation, result: AblateResult) -> list[DeltaStrip]:
    """All contexts shown, tinted on one scale: the largest change among them. AppError when the run's vocabulary is gone."""
    spelling = vocabulary_open(run_folder(ablation.run_id)).spelling
    scale = max((abs(delta) for each in result.shown for delta in each.deltas), default=0.0)
    return [delta_strip(each, spelling, scale) for each in result.shown]


def verdict(effect: AblationEffect) -> str:
    """What a mean says, in words: it costs, it helps, or nothing beyond the noise."""
    if effect.mean is None:
        return "nothing to predict"
    if effect.mean == 0:
        return "exactly no effect"
    if effect.stderr is None:
        return "of one context, without an error"
    if abs(effect.mean) <= NOISE * effect.stderr:
        return f"no effect beyond the noise of {effect.contexts} contexts"
    return "harder to predict without it" if effect.mean > 0 else "easier to predict without it"


def signed(value: float | None, decimals: int | None = None) -> str:
    """Nats in UNIT: +123, −0.0451, 0; a dash for None. Three significant digits, or so many `decimals`; never as a power of
    ten."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    decimals = _decimals(value, 3) if decimals is None else decimals
    return f"{'+' if value > 0 else '−'}{1000 * abs(value):.{decimals}f}"


def effect_words(effect: AblationEffect) -> str:
    """+123 ± 20 in UNIT: the error with two significant digits, the mean with as many decimals."""
    if not effect.stderr:
        return signed(effect.mean)
    decimals = _decimals(effect.stderr, 2)
    return f"{signed(effect.mean, decimals)} ± {1000 * effect.stderr:.{decimals}f}"


def _decimals(value: float, digits: int) -> int:
    """Decimals that show so many significant digits of `value` nats in UNIT."""
    return max(0, digits - 1 - math.floor(math.log10(1000 * abs(value))))


MEANS = {
    "at_peak": (
        "At the peak",
        "Of the token right behind the strongest firing of each top context: the prediction that the feature takes part in "
        "most directly.",
    ),
    "after_peak": ("After the peak", "Of all later tokens of the top contexts."),
    "top": ("Top contexts", "Of every token of the contexts in which it fires strongest, those before the peak too."),
    "random": (
        "Random contexts",
        "Of every token of contexts drawn at random: what the feature is worth on the whole. Where it does not fire, Δ is "
        "exactly 0.",
    ),
}
"""Field of AblateResult → label and help."""


def ablation_metrics(result: AblateResult) -> list[dict[str, Any]]:
    """The four means for components/stats.html."""
    made = []
    for name, (label, words) in MEANS.items():
        effect: AblationEffect = getattr(result, name)
        made.append(
            {
                "label": label,
                "value": effect_words(effect),
                "unit": UNIT,
                "n": effect.predictions,
                "n_unit": f"tokens, {effect.contexts} contexts",
                "help": f"{words} ± is the standard error, each context counted as one draw. 1,000 {UNIT} are a nat.",
                "formula": FORMULA,
                "note": verdict(effect),
            }
        )
    return made


def ablation_of(feature: Feature) -> Ablation | None:
    """The ablation on the contexts of the feature's present run, measured or under way."""
    if feature.run_id is None:
        return None
    return feature.ablations.filter(run=feature.run_id).first()


def ablation_get(feature: Feature) -> Ablation:
    """The same; AppError "not_measured" where nothing was asked for."""
    found = ablation_of(feature)
    if found is None:
        raise AppError("not_measured", f"Feature {feature.index} was not ablated yet.", "Measure it first.", status=404)
    return found


def ablation_context(ablation: Ablation | None) -> dict[str, Any]:
    """The template context of an ablation: what was measured, and how its newest job stands."""
    if ablation is None:
        return {"ablation": None}
    job = ablation.job
    context = {"ablation": ablation, "ablation_job": job, "ablation_waits": job is not None and job.is_active}
    if not ablation.is_ready:
        return context
    result = AblateResult.from_json(ablation.report)
    strips = delta_strips(ablation, result)
    return context | {
        "ablated": result,
        "ablation_metrics": ablation_metrics(result),
        "ablation_notes": reading_notes(ablation.feature.sae, ablation.report),
        "perplexity": math.exp(result.top_ce_clean),
        "strips": strips[:SHOWN_AT_ONCE],
        "more_strips": strips[SHOWN_AT_ONCE:],
    }


def ablation_json(ablation: Ablation) -> dict[str, Any]:
    """An ablation as the API and `--json` show it; `result` is an AblateResult, null until it was measured."""
    shown = {
        "id": ablation.pk,
        "ready": ablation.is_ready,
        "feature": ablation.feature_id,
        "run": ablation.run_id,
        "result": ablation.report or None,
        "notes": reading_notes(ablation.feature.sae, ablation.report),
        "ready_at": ablation.ready_at.isoformat() if ablation.ready_at else None,
        "url": ablation.get_absolute_url(),
        "topic": ablation.topic,
    }
    return with_job(shown, ablation)
