"""Contexts of a tokenization for people: a few of them as token strings, read without loading the file."""

from dataclasses import dataclass

from safetensors import SafetensorError, safe_open

from apps.core.errors import AppError
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_selectors import tokenization_folder
from apps.language_models.vocabulary import vocabulary_of
from workers.engine.text.spelling import Spelling

PARTS = ("train", "heldout")


@dataclass(frozen=True)
class ContextSample:
    """One context: its number in its part, the dataset row in which it begins, its raw token strings."""

    index: int
    first_row: int
    tokens: list[str]
    ids: list[int]
    spelling: Spelling


def contexts_sample(
    tokenization: Tokenization, *, part: str = "train", start: int = 0, count: int = 5
) -> list[ContextSample]:
    """Contexts `start` to `start + count` of a part of a ready tokenization; fewer at the end.

    Of ragged contexts only the tokens that are meant are shown (`lengths`; older files have none: all are full).
    """
    vocabulary = vocabulary_of(tokenization.language_model_id)
    path = tokenization_folder(tokenization.pk) / f"{part}.safetensors"
    try:
        with safe_open(path, framework="numpy") as file:
            stored = file.get_slice("tokens")
            stop = min(start + count, stored.get_shape()[0])  # a slice past the end is an error of the library
            tokens = stored[start:stop] if start < stop else []
            first_rows = file.get_slice("first_row")[start:stop] if start < stop else []
            is_ragged = "lengths" in set(file.keys())
            lengths = file.get_slice("lengths")[start:stop] if start < stop and is_ragged else None
    except (OSError, SafetensorError):
        raise AppError(
            "bad_artifact", f"The contexts of {tokenization} cannot be read.", "Tokenize again.", status=409
        ) from None
    meant = tokens if lengths is None else [ids[:length] for ids, length in zip(tokens, lengths)]
    return [
        ContextSample(start + offset, int(row), vocabulary.raw(ids), ids.tolist(), vocabulary.spelling)
        for offset, (ids, row) in enumerate(zip(meant, first_rows))
    ]
