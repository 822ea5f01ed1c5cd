"""The token strip: a text as the model reads it, each token tinted by one feature's activation.

Raw tokenizer strings become readable text with visible blanks; neighbours without activation share one span, so that a
page of examples stays small. The tint is one number per span (--a, 0 to 1): themes recolour it without a new page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django import template

from workers.engine.text.decoding import control_marked, visible
from workers.engine.text.spelling import Spelling
from workers.engine.text.tokens import token_texts
from workers.engine.text.words import word_at, words

register = template.Library()


@dataclass(frozen=True)
class Span:
    """One or more tokens shown together. `share` is the activation divided by the scale, as text for CSS."""

    text: str
    value: float | None = None
    share: str = ""
    tip: str = ""
    spoken: str = ""
    is_peak: bool = False
    breaks: bool = False
    is_removed: bool = False
    """Taken out of the text by a filter: struck through."""


@register.inclusion_tag("components/token_strip.html")
def token_strip(
    tokens: Sequence[str],
    spelling: Spelling,
    values: Sequence[float] | None = None,
    scale: float | None = None,
    peak: int | None = None,
    breaks: bool = False,
    label: str = "",
    kept: Sequence[bool] | None = None,
    ids: Sequence[int] | None = None,
    by_words: bool = False,
) -> dict[str, object]:
    """{% token_strip example.tokens example.spelling example.values scale=maximum peak=example.peak %}.

    `spelling` is that of the tokens' vocabulary. `scale` is the value shown at full strength: the feature's maximum, or the
    strip's own when absent. `peak` is the position of the outlined token. `breaks` shows line breaks as such. Without values,
    `kept` says of each token whether it stays (those that do not are struck through), and with `ids` each tells its own.
    `by_words` shows words instead of tokens, each with the maximum of its tokens' values; the peak's word is outlined.
    """
    strip = Strip.of_words if by_words else Strip.of_tokens
    return {
        "spans": spans(strip(tokens, spelling, values, peak), scale)
        if kept is None and ids is None
        else kept_spans(tokens, spelling, kept, ids),
        "breaks": breaks,
        "label": label,
        "is_plain": values is None,
    }


@dataclass(frozen=True)
class Strip:
    """What a strip shows, piece by piece: tokens or words."""

    texts: Sequence[str]
    raws: Sequence[str]
    """The tokenizer's spelling of each piece: a token, or those of a word."""
    values: Sequence[float] | None
    peak: int | None

    @classmethod
    def of_tokens(
        cls, tokens: Sequence[str], spelling: Spelling, values: Sequence[float] | None, peak: int | None = None
    ) -> "Strip":
        """A piece for each token."""
        raws = [f"token {token}" for token in tokens]
        return cls(token_texts(tokens, spelling), raws, values, peak)

    @classmethod
    def of_words(
        cls, tokens: Sequence[str], spelling: Spelling, values: Sequence[float] | None, peak: int | None = None
    ) -> "Strip":
        """A piece for each word, with the maximum of its tokens."""
        found = words(tokens, spelling)
        return cls(
            [word.text for word in found],
            [_spelled(tokens[word.start : word.stop]) for word in found],
            None if values is None else [max(values[word.start : word.stop]) for word in found],
            None if peak is None else word_at(found, peak),
        )


def spans(strip: Strip, scale: float | None = None) -> list[Span]:
    """Pieces and their values as spans, runs without activation merged."""
    if strip.values is None:
        return [Span(visible(text), breaks="\n" in text) for text in strip.texts]
    top = scale or max((float(v) for v in strip.values), default=0.0) or 1.0
    made: list[Span] = []
    silent = ""
    for position, (text, value) in enumerate(zip(strip.texts, strip.values)):
        if value <= 0 and position != strip.peak and "\n" not in text:
            silent += text
            continue
        if silent:
            made.append(Span(control_marked(silent)))
            silent = ""
        made.append(_active(text, strip.raws[position], float(value), top, position == strip.peak))
    if silent:
        made.append(Span(control_marked(silent)))
    return made


def _spelled(tokens: Sequence[str]) -> str:
    return f"token{'s' if len(tokens) > 1 else ''} {' '.join(tokens)}"


def kept_spans(
    tokens: Sequence[str], spelling: Spelling, kept: Sequence[bool] | None = None, ids: Sequence[int] | None = None
) -> list[Span]:
    """A span for each token, with its spelling where something is `kept` and its id where known; those not kept are marked as
    removed."""
    texts = token_texts(tokens, spelling)
    spelled = [f" · token {raw}" for raw in tokens] if kept is not None else [""] * len(tokens)
    numbers = [f" · id {token_id}" for token_id in ids] if ids is not None else [""] * len(tokens)
    stays = kept if kept is not None else [True] * len(tokens)
    return [
        Span(visible(text), tip=f"{visible(text)}{raw}{number}", breaks="\n" in text, is_removed=not is_kept)
        for text, raw, number, is_kept in zip(texts, spelled, numbers, stays)
    ]


def _active(text: str, raw: str, value: float, top: float, is_peak: bool) -> Span:
    share = max(0.0, min(1.0, value / top))
    return Span(
        text=visible(text),
        value=value,
        share=f"{max(share, 0.05):.3f}" if value > 0 else "",
        tip=f"{visible(text)} · {value:.4g} · {100 * share:.0f} % of the scale · {raw}",
        spoken=f"{value:.3g}" if value > 0 else "",
        is_peak=is_peak,
        breaks="\n" in text,
    )
