"""What the page of one feature shows, made from its row and the files of its run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from django.http import QueryDict

from apps.core.errors import AppError
from apps.core.templatetags.studio import number, percent, significant
from apps.features import artifacts
from apps.features.models import Feature
from apps.features.reading import ReadingFilter, ShownGroup, groups_shown
from workers.engine.specs.features import LOG_BINS, LOG_DECADES
from workers.engine.text.decoding import visible

WIDTHS: dict[str, int | None] = {"5": 5, "16": 16, "full": None}
"""Context width: tokens on each side of the peak."""
USUAL_WIDTH = "16"
MOST_GUESS_CHARACTERS = 300
PANELS = ("examples", "language")
"""What the feature page shows at its left."""


@dataclass(frozen=True)
class View:
    """How examples are shown, as the URL says."""

    width: str = USUAL_WIDTH
    breaks: bool = False
    log_bins: bool = False
    """The activation histogram has bins of equal width in the logarithm."""
    hides_label: bool = False
    """Judge first: the feature's own words stay hidden until they are asked for."""
    guess: str = ""
    """What the reader calls the feature: beside the label, once it shows."""
    words: bool = False
    """Words in place of tokens."""
    panel: str = PANELS[0]

    @classmethod
    def of(cls, query: QueryDict) -> "View":
        """From ?width=&breaks=&bins=&labels=&guess=&words=&panel=; unknown widths and panels are the usual ones, a guess
        reveals the label."""
        width = query.get("width", USUAL_WIDTH)
        judges, guess = query.get("labels") == "hidden", query.get("guess", "").strip()[:MOST_GUESS_CHARACTERS]
        return cls(
            width if width in WIDTHS else USUAL_WIDTH,
            breaks=query.get("breaks") == "1",
            log_bins=query.get("bins") == "log",
            hides_label=judges and "guess" not in query,
            guess=guess if judges else "",
            words=query.get("words") == "1",
            panel=panel if (panel := query.get("panel", "")) in PANELS else PANELS[0],
        )

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


def bars(histogram: Sequence[int], edges: Sequence[float]) -> list[Bar]:
    """The histogram's bins as bars: log(1 + count), so that rare strong activations stay visible beside weak ones."""
    top = math.log1p(max(histogram, default=0)) or 1.0
    return [
        Bar(low, high, count, round(100 * math.log1p(count) / top, 1))
        for (low, high), count in zip(pairwise(edges), histogram)
    ]


def even_edges(low: float, high: float, bins: int) -> list[float]:
    """Borders of bins of equal width."""
    return [low + (high - low) * place / bins for place in range(bins + 1)]


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


@dataclass(frozen=True)
class TopTokenRow:
    """A token at which the feature fires, with its share of all firings."""

    text: str
    raw: str
    count: int
    share: float
    mean: float
    maximum: float


def top_token_rows(tokens: Sequence[artifacts.TopToken], firings: int) -> list[TopTokenRow]:
    """Top tokens for the page."""
    return [
        TopTokenRow(visible(t.text), t.token, t.count, t.count / max(1, firings), t.mean, t.maximum) for t in tokens
    ]


@dataclass(frozen=True)
class NeighbourRow:
    """A neighbour with its own row, for its label and link."""

    near: artifacts.Neighbour
    feature: Feature


def neighbour_rows(feature: Feature, near: Sequence[artifacts.Neighbour]) -> list[NeighbourRow]:
    """Neighbours for the page, in their order."""
    rows = {row.index: row for row in feature.sae.features.filter(index__in=[each.index for each in near])}
    return [NeighbourRow(each, rows[each.index]) for each in near if each.index in rows]


class Evidence:
    """Statistics, logit lists and examples of one feature, read from the files of its run."""

    def __init__(self, feature: Feature, view: View, reading: ReadingFilter) -> None:
        self._feature, self._view, self.reading = feature, view, reading
        place = (feature.run_id, feature.index)
        self.statistics = artifacts.statistics_read(*place)
        self.logits = artifacts.logits_read(*place)
        self.promoted, self.suppressed = logit_rows(self.logits.promoted), logit_rows(self.logits.suppressed)
        tokens = artifacts.top_tokens_read(*place)
        shown = [token for token in tokens if not reading.hides_token(token)]
        self.top_tokens = top_token_rows(shown, self.statistics.firings)
        self.hidden_tokens = len(tokens) - len(shown)
        self.similar, self.coactive = (neighbour_rows(feature, near) for near in artifacts.neighbours_read(*place))

    @cached_property
    def groups(self) -> list[ShownGroup]:
        """Examples by group, cropped to the view's width, without those that the filter hides."""
        feature, around, maximum = self._feature, WIDTHS[self._view.width], self.statistics.maximum
        examples = artifacts.examples_read(feature.run_id, feature.index)
        if around is not None:
            examples = [example.cropped(around, whole_words=self._view.words) for example in examples]
        return groups_shown(artifacts.examples_grouped(examples, maximum), self.reading, maximum)

    @property
    def hidden_examples(self) -> int:
        """How many windows of all groups the filter hides."""
        return sum(group.hidden for group in self.groups)

    @property
    def bars(self) -> list[Bar]:
        """The activation histogram, linear or logarithmic as the view asks."""
        found = self.statistics
        if self._view.log_bins:
            lowest = found.maximum / 10**LOG_DECADES
            edges = [lowest * 10 ** (place * LOG_DECADES / LOG_BINS) for place in range(LOG_BINS + 1)]
            return bars(found.log_histogram, [0.0, *edges[1:]])
        return bars(found.histogram, even_edges(0.0, found.maximum, len(found.histogram)))

    @property
    def logit_bars(self) -> list[Bar]:
        """How the logits of all tokens are spread."""
        spread = self.logits
        return bars(spread.histogram, even_edges(spread.lowest, spread.highest, len(spread.histogram)))

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
                "help": "Mean and standard deviation over the positions on which the feature fires.",
                "formula": "Σ f / Σ [f > 0]",
                "note": f"deviation {significant(found.deviation)}",
                **of_firings,
            },
            {
                "label": "Agreement of contexts",
                "value": number(found.score),
                "help": "From 0, random, to 1, and high for commas too: how well what the strongest firings show tells the "
                f"weaker ones from silence ({found.agreement:.2f}), how alike the contexts of the strongest examples are "
                f"({found.consistency:.2f}), and the share of firings at one token ({found.concentration:.2f}).",
                "formula": "agreement / 2 + (consistency + concentration) / 4",
                **of_firings,
            },
        ]


def evidence_of(feature: Feature, view: View, reading: ReadingFilter) -> tuple[Evidence | None, AppError | None]:
    """The evidence, or why there is none: no run, or a run whose files cannot be read."""
    if feature.run is None:
        words = "The run that measured this feature was deleted."
        return None, AppError("no_run", words, "Start another feature run to see examples again.")
    try:
        evidence = Evidence(feature, view, reading)
        evidence.groups  # noqa: B018  reads the examples here, where a failure is caught
    except AppError as error:
        return None, error
    return evidence, None
