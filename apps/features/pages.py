"""What the page of one feature shows, made from its row and the files of its run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.http import QueryDict

from apps.core.errors import AppError
from apps.core.templatetags.studio import number, percent
from apps.features import artifacts
from apps.features.models import Feature
from workers.engine.text.decoding import visible

WIDTHS: dict[str, int | None] = {"5": 5, "16": 16, "full": None}
"""Context width: tokens on each side of the peak."""
USUAL_WIDTH = "16"


@dataclass(frozen=True)
class View:
    """How examples are shown, as the URL says."""

    width: str = USUAL_WIDTH
    breaks: bool = False

    @classmethod
    def of(cls, query: QueryDict) -> "View":
        """From ?width=&breaks=; unknown widths are the usual one."""
        width = query.get("width", USUAL_WIDTH)
        return cls(width if width in WIDTHS else USUAL_WIDTH, query.get("breaks") == "1")

    @property
    def narrower(self) -> str | None:
        return self._step(-1)

    @property
    def wider(self) -> str | None:
        return self._step(1)

    def _step(self, by: int) -> str | None:
        place = list(WIDTHS).index(self.width) + by
        return list(WIDTHS)[place] if 0 <= place < len(WIDTHS) else None


@dataclass(frozen=True)
class Bar:
    """One bin of the activation histogram; heights from 0 to 100 on a logarithmic scale."""

    low: float
    high: float
    count: int
    height: float

    @property
    def top(self) -> float:
        return 100 - self.height


def bars(histogram: Sequence[int], maximum: float) -> list[Bar]:
    """The histogram's bins as bars: log(1 + count), so that rare strong activations stay visible beside weak ones."""
    top = math.log1p(max(histogram, default=0)) or 1.0
    width = maximum / max(1, len(histogram))
    return [
        Bar(place * width, (place + 1) * width, count, round(100 * math.log1p(count) / top, 1))
        for place, count in enumerate(histogram)
    ]


@dataclass(frozen=True)
class LogitRow:
    """One token of a logit list with its share of the list's largest value."""

    text: str
    raw: str
    value: float
    share: float


def logit_rows(tokens: Sequence[artifacts.LogitToken]) -> list[LogitRow]:
    """A logit list for the page."""
    top = max((abs(token.value) for token in tokens), default=0.0) or 1.0
    return [
        LogitRow(visible(token.text), token.token, token.value, round(abs(token.value) / top, 3)) for token in tokens
    ]


class Evidence:
    """Statistics, logit lists and examples of one feature, read from the files of its run."""

    def __init__(self, feature: Feature, view: View) -> None:
        self._feature, self._view = feature, view
        self.statistics = artifacts.statistics_read(feature.run_id, feature.index)
        logits = artifacts.logits_read(feature.run_id, feature.index)
        self.promoted, self.suppressed = logit_rows(logits.promoted), logit_rows(logits.suppressed)

    @cached_property
    def groups(self) -> list[artifacts.ExampleGroup]:
        """Examples by group, cropped to the view's width."""
        feature, around = self._feature, WIDTHS[self._view.width]
        examples = artifacts.examples_read(feature.run_id, feature.index)
        if around is not None:
            examples = [example.cropped(around) for example in examples]
        return artifacts.examples_grouped(examples, self.statistics.maximum)

    @property
    def bars(self) -> list[Bar]:
        return bars(self.statistics.histogram, self.statistics.maximum)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The statistics with their formulas, for components/stats.html."""
        tokens, found = self._feature.run.tokens, self.statistics
        of_tokens = {"n": tokens, "n_unit": "tokens"}
        of_firings = {"n": found.firings, "n_unit": "firings"}
        return [
            {
                "label": "Density",
                "value": percent(found.density),
                "help": "Share of positions on which the feature fires. First tokens and sink tokens are left out.",
                "formula": "firings / tokens",
                **of_tokens,
            },
            {
                "label": "Firings",
                "value": number(found.firings),
                "help": "Positions with an activation above 0.",
                "formula": "Σ [f > 0]",
                **of_tokens,
            },
            {
                "label": "Max activation",
                "value": number(found.maximum),
                "help": "The strongest activation of the run; steering counts in multiples of it.",
                "formula": "max f",
                **of_tokens,
            },
            {
                "label": "Mean activation",
                "value": number(found.mean),
                "help": "Mean over the positions on which the feature fires.",
                "formula": "Σ f / Σ [f > 0]",
                **of_firings,
            },
        ]


def evidence_of(feature: Feature, view: View) -> tuple[Evidence | None, AppError | None]:
    """The evidence, or why there is none: no run, or a run whose files cannot be read."""
    if feature.run is None:
        words = "The run that measured this feature was deleted."
        return None, AppError("no_run", words, "Start another feature run to see examples again.")
    try:
        evidence = Evidence(feature, view)
        evidence.groups  # noqa: B018  reads the examples here, where a failure is caught
    except AppError as error:
        return None, error
    return evidence, None
