"""What the page of a tried text shows: features with their strips, each token with its features, and what a second text
changes."""

from dataclasses import dataclass
from typing import Any

from apps.core.selectors import row_of
from apps.features.models import Feature, TriedText
from apps.jobs.subjects import with_job
from apps.language_models.vocabulary import vocabulary_of
from apps.saes.reading import read_as_of, reading_notes
from workers.engine.specs.base import spec_load
from workers.engine.specs.try_text import TriedText as ReadText
from workers.engine.specs.try_text import TryTextResult, TryTextSpec
from workers.engine.text.decoding import visible
from workers.engine.text.spelling import Spelling
from workers.engine.text.tokens import token_texts

ORDERS = {"max": "strongest first", "mean": "highest mean first", "rare": "strongest for their rarity first"}


def tried_text_get(pk: int) -> TriedText:
    """The tried text; NotFound otherwise, as after a day."""
    return row_of(TriedText.objects.select_related("sae"), "tried text", pk)


@dataclass(frozen=True)
class FeatureRow:
    """One feature over the texts. `feature` is its row, None before a feature run."""

    index: int
    feature: Feature | None
    maxima: tuple[float, ...]
    strips: tuple[tuple[tuple[str, ...], tuple[float, ...]], ...]
    """For each text its tokens and the activations there."""
    spelling: Spelling

    @property
    def scale(self) -> float:
        """What counts as full strength: the feature's own maximum where a run measured it, else that of these texts."""
        known = self.feature.maximum if self.feature else 0.0
        return max(known, *self.maxima)

    @property
    def change(self) -> str:
        """appears, vanishes, rises, falls or stays, from the first text to the second; "" with one text."""
        if len(self.maxima) < 2:
            return ""
        first, second = self.maxima
        if first == second:
            return "stays"
        return ("appears" if not first else "rises") if second > first else ("vanishes" if not second else "falls")


@dataclass(frozen=True)
class TokenRow:
    """One token with the features that fire on it, strongest first: (feature number, value, label or "")."""

    text: str
    raw: str
    token_id: int | None
    """None in answers of older versions."""
    is_included: bool
    features: tuple[tuple[int, float, str], ...]


def tried_context(tried: TriedText) -> dict[str, Any]:
    """The template context of a tried text: the answer, or how its job stands."""
    job = tried.job
    context = {"tried": tried, "job": job, "waits": job is not None and job.is_active}
    if not tried.is_ready:
        return context
    spec, result = job.loaded_spec if job is not None else None, TryTextResult.from_json(tried.report)
    rows, spelling = _rows(tried, result), vocabulary_of(tried.sae.language_model_id).spelling
    return context | {
        "spelling": spelling,
        "watched": spec.watched if spec is not None else (),
        "order": "largest change first"
        if len(result.texts) > 1
        else ORDERS[spec.rank_by if spec is not None else "max"],
        "seconds": result.seconds,
        "notes": reading_notes(tried.sae, tried.report),
        "texts": result.texts,
        "feature_rows": [
            FeatureRow(
                each.index,
                rows.get(each.index),
                tuple(max(values) for values in each.values),
                tuple((text.tokens, values) for text, values in zip(result.texts, each.values)),
                spelling,
            )
            for each in result.features
        ],
        "token_rows": [_token_rows(token_texts(text.tokens, spelling), text, rows) for text in result.texts],
    }


def _rows(tried: TriedText, result: TryTextResult) -> dict[int, Feature]:
    """The rows of all features that the answer names."""
    named = {feature.index for feature in result.features}
    named |= {index for text in result.texts for token in text.strongest for index in token.indices}
    return {row.index: row for row in tried.sae.features.filter(index__in=named)}


def _token_rows(texts: list[str], read: ReadText, rows: dict[int, Feature]) -> list[TokenRow]:
    return [
        TokenRow(
            visible(text),
            raw,
            token_id,
            included,
            tuple(
                (index, value, rows[index].label if index in rows else "")
                for index, value in zip(features.indices, features.values)
            ),
        )
        for text, raw, token_id, included, features in zip(
            texts, read.tokens, read.token_ids or [None] * len(texts), read.is_included, read.strongest
        )
    ]


def tried_before(spec: TryTextSpec) -> TriedText | None:
    """The newest answer to the same question that is still there, or the one under way."""
    found = TriedText.objects.select_related("sae__language_model").filter(
        sae=spec.sae, text=spec.text, other=spec.other
    )
    for tried in found[:5]:
        job = tried.job
        is_same = job is not None and spec_load(TryTextSpec, job.spec) == spec
        held, now = read_as_of(tried.report).quantization, tried.sae.language_model.quantization
        if is_same and (tried.is_ready or job.is_active) and (not held or not now or held == now):
            return tried
    return None


def tried_json(tried: TriedText) -> dict[str, Any]:
    """A tried text as the API and `--json` show it; `answer` is a TryTextResult."""
    shown = {
        "id": tried.pk,
        "ready": tried.is_ready,
        "sae": tried.sae_id,
        "text": tried.text,
        "other": tried.other,
        "answer": tried.report or None,
        "notes": reading_notes(tried.sae, tried.report),
        "url": tried.get_absolute_url(),
        "topic": tried.topic,
    }
    return with_job(shown, tried)
