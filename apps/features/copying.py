"""A feature to take along: its link, a Markdown card, JSON, Python that loads its direction, the command that shows it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.core.templatetags.studio import significant
from apps.features.artifacts import Example
from apps.features.models import Feature
from apps.features.pages import Evidence, LogitRow
from apps.features.selectors import feature_json
from apps.saes.selectors import sae_loading_code
from workers.engine.text.decoding import visible

MARKDOWN_EXAMPLES, AROUND = 5, 10
"""Examples on a Markdown card, and tokens on each side of their peak."""

TELLING = ("label", "category", "label_source", "notes", "auto_name", "peak_words", "gloss")
"""What says what a feature is about, to whoever wants to judge first."""


@dataclass(frozen=True)
class Copy:
    """One text for the clipboard."""

    name: str
    text: str


def copies_of(feature: Feature, evidence: Evidence | None, url: str, *, with_label: bool = True) -> list[Copy]:
    """All that a feature's page offers to copy; `url` is its full address. Without `with_label` no text tells the words that
    people gave."""
    row = feature_json(feature)
    if not with_label:
        row = {name: value for name, value in row.items() if name not in TELLING}
    return [
        Copy("Link", url),
        Copy("Markdown", markdown(feature, evidence, url, with_label=with_label)),
        Copy("JSON", json.dumps(row, ensure_ascii=False, indent=2)),
        Copy("Python", f"{sae_loading_code(feature.sae)}\ndirection = sae.W_dec[{feature.index}]"),
        Copy("Command", f"python manage.py feature_show {feature.sae_id} {feature.index}"),
    ]


def markdown(feature: Feature, evidence: Evidence | None, url: str, *, with_label: bool = True) -> str:
    """A card for notes and chats: words, numbers with their text, logit lists, strongest examples with the peak in bold."""
    sae = feature.sae
    name = f": {_escaped(feature.label)}" if feature.label and with_label else ""
    lines = [f"### [Feature {feature.index}{name}]({url})", ""]
    if feature.category and with_label:
        lines += [f"*{_escaped(feature.category)}*", ""]
    lines += [
        f"`{sae.hook_site}` of {sae.language_model}, SAE {_escaped(str(sae))} ({sae.architecture}, {sae.d_sae:,} latents)"
    ]
    if evidence is not None and feature.run is not None:
        found = evidence.statistics
        lines += [
            "",
            f"density {significant(100 * found.density)} % · max {found.maximum:.4g} · mean {found.mean:.4g} · readability "
            f"{found.score:.2f} · on {feature.run.tokens:,} tokens of {_escaped(str(feature.run.tokenization))}",
            "",
            f"promotes {_tokens(evidence.promoted)}; suppresses {_tokens(evidence.suppressed)}",
            "",
            *[f"- {example.peak_value:.3g}: {_marked(example.cropped(AROUND))}" for example in _strongest(evidence)],
        ]
    return "\n".join(lines) + "\n"


def _strongest(evidence: Evidence) -> tuple[Example, ...]:
    return next((shown.examples for shown in evidence.groups if shown.group.kind == "top"), ())[:MARKDOWN_EXAMPLES]


def _marked(example: Example) -> str:
    """The example's text in one line, its peak in bold; by a tag, since ** binds to no comma and no word's middle."""
    texts = example.texts
    before, peak, after = "".join(texts[: example.peak]), texts[example.peak], "".join(texts[example.peak + 1 :])
    blank = " " if peak[:1] == " " and peak.strip() else ""
    shown = visible(peak.removeprefix(blank))
    return f"{_escaped(_line(before))}{blank}<b>{_escaped(shown)}</b>{_escaped(_line(after))}"


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _tokens(rows: Sequence[LogitRow]) -> str:
    """The first tokens of a logit list as code; a backtick would end it."""
    return " ".join(f"`{row.text.replace('`', chr(0x2CB))}`" for row in rows[:5])


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)
