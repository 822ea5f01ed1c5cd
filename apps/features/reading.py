"""Reading a run through a filter: what is out of sight, and how a page says so.

The files of a run hold everything; a filter hides examples by the token at their peak or by their strength, and rows of
the table of top tokens. It comes from the run's own view, and from ?hide= and ?weakest= where an address asks otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.http import QueryDict

from apps.features.artifacts import Example, ExampleGroup, TopToken, example_kind
from apps.features.models import FeatureRun
from workers.engine.specs.features import DefaultView
from workers.engine.text.token_kinds import TOKEN_KIND_WORDS, TokenKind, token_kinds
from workers.engine.text.words import word_at, words

WEAK = "weak"
WEAKEST_CHOICES = (0.0, 0.1, 0.3, 0.5)
"""Shares of the maximum that the page offers."""
NEED_THE_WORD = frozenset({TokenKind.FRAGMENT, TokenKind.STOP_WORD})
"""Kinds that only the whole word tells; the others are seen by the token alone."""


@dataclass(frozen=True)
class Chip:
    """One switch of the filter: its words, whether it is on, and what the address says once it is chosen (None: nothing)."""

    words: str
    is_on: bool
    value: str | None


@dataclass(frozen=True)
class ReadingFilter:
    """Which examples and top tokens are out of sight."""

    hidden: frozenset[TokenKind] = frozenset()
    weakest: float = 0.0
    default: DefaultView = field(default_factory=DefaultView)

    @classmethod
    def of(cls, run: FeatureRun | None, query: QueryDict | None = None) -> "ReadingFilter":
        """From ?hide=punctuation,number and ?weakest=0.1; what the address leaves open is as in the run's view. Words and
        numbers that mean nothing count for nothing."""
        view = DefaultView.from_json(run.view) if run is not None else DefaultView()
        query = query if query is not None else QueryDict()
        names = query["hide"].split(",") if "hide" in query else view.hidden
        hidden = frozenset(kind for kind in TokenKind if kind.value in names)
        return cls(hidden, _share(query.get("weakest", ""), view.weakest), view)

    def hides(self, example: Example, maximum: float) -> str:
        """Why an example is out of sight: a TokenKind, "weak", or "" for one that shows. Silent windows have no strength."""
        kind = example_kind(example.group)
        if kind in ("top", "interval") and example.peak_value < self.weakest * maximum:
            return WEAK
        if kind == "silent" or not self.hidden:
            return ""
        text = example.texts[example.peak]
        is_part = bool(self.hidden & NEED_THE_WORD) and _is_part_of_word(example)
        kinds = token_kinds(example.tokens[example.peak], text, is_part=is_part)
        return next((hidden.value for hidden in TokenKind if hidden in kinds & self.hidden), "")

    def hides_token(self, token: TopToken) -> bool:
        """Whether a row of the top tokens is out of sight. Without its text no token counts as a part of a word."""
        return bool(self.hidden & token_kinds(token.token, token.text))

    @property
    def kind_chips(self) -> list[Chip]:
        """A switch for each kind of token."""
        return [
            Chip(name, kind in self.hidden, self._hide_value(self.hidden ^ {kind}))
            for kind, name in TOKEN_KIND_WORDS.items()
        ]

    @property
    def weakest_chips(self) -> list[Chip]:
        """The shares to choose from, with the one in force."""
        return [
            Chip(
                f"below {100 * share:g} %" if share else "none",
                share == self.weakest,
                None if share == self.default.weakest else f"{share:g}",
            )
            for share in sorted({*WEAKEST_CHOICES, self.weakest, self.default.weakest})
        ]

    def _hide_value(self, hidden: Iterable[TokenKind]) -> str | None:
        names = [kind.value for kind in TokenKind if kind in hidden]
        return None if set(names) == set(self.default.hidden) else ",".join(names)


@dataclass(frozen=True)
class ShownGroup:
    """A group of examples as the page shows it: those in sight, and how many are not."""

    group: ExampleGroup
    examples: tuple[Example, ...]
    hidden: int


def groups_shown(groups: Iterable[ExampleGroup], reading: ReadingFilter, maximum: float) -> list[ShownGroup]:
    """Each group with what the filter leaves of it."""
    made = []
    for group in groups:
        kept = tuple(example for example in group.examples if not reading.hides(example, maximum))
        made.append(ShownGroup(group, kept, len(group.examples) - len(kept)))
    return made


def _is_part_of_word(example: Example) -> bool:
    """Whether the peak's word has other tokens too."""
    found = words(example.tokens, example.spelling)
    word = found[word_at(found, example.peak)]
    return word.stop - word.start > 1


def _share(text: str, otherwise: float) -> float:
    try:
        share = float(text)
    except ValueError:
        return otherwise
    return share if 0 <= share < 1 else otherwise
