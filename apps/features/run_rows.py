"""Rows of features from the files of their run: statistics and tokens for lists, terms for the search. Words of people stay.

Shapes: F latents, L listed tokens.
"""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from django.db import connection, transaction

from apps.features.artifacts import names_read, tensors, vocabulary_open
from apps.features.models import Feature, FeatureRun, FeatureTerm
from apps.features.search.terms import token_shown, token_terms_replace
from apps.language_models.vocabulary import Vocabulary
from workers.engine.text.decoding import visible

CHUNK = 2000
"""Latents read at once."""
WRITTEN_AT_ONCE = 200
"""Rows of one statement."""
STATISTICS = {"density": "density", "mean": "mean", "maximum": "maximum", "firings": "count"}
SCORES = ("consistency", "concentration", "agreement", "score")
COLUMNS = STATISTICS | {name: name for name in (*SCORES, "interest", "peculiarity")}
"""Column → tensor of statistics.safetensors."""
NUMBERS_AND_WORDS = (*COLUMNS, "peak_words", "gloss", "promoted_tokens")
"""What a run measures; every other column is people's and survives."""
LEFT_TO_PEOPLE = [
    field
    for field in Feature._meta.concrete_fields
    if field.name not in ("id", "sae", "run", "index", *NUMBERS_AND_WORDS)
]
MOST_CHARACTERS = Feature._meta.get_field("promoted_tokens").max_length
MOST_GLOSS_CHARACTERS = Feature._meta.get_field("gloss").max_length
MOST_WORD_CHARACTERS = 60


def rows_write(run: FeatureRun, folder: Path, d_sae: int) -> None:
    """A row for each latent, new or written over without touching what people gave it."""
    # Tens of thousands of rows while others wait for the lock: model instances and their conversions would take longer
    # than the database.
    names = ("index", *NUMBERS_AND_WORDS)
    fixed = {"sae_id": run.sae_id, "run_id": run.pk} | {field.attname: field.get_default() for field in LEFT_TO_PEOPLE}
    quote = connection.ops.quote_name
    columns = ", ".join(quote(name) for name in (*fixed, *names))
    place = f"({', '.join(['%s'] * (len(fixed) + len(names)))})"
    measured = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in ("run_id", *NUMBERS_AND_WORDS))
    head = f"INSERT INTO {quote(Feature._meta.db_table)} ({columns}) VALUES "
    tail = f" ON CONFLICT (sae_id, {quote('index')}) DO UPDATE SET {measured}"
    known = tuple(fixed.values())
    rows = rows_read(folder, d_sae)
    with transaction.atomic(), connection.cursor() as cursor:
        while part := list(islice(rows, WRITTEN_AT_ONCE)):
            values = [value for row in part for value in (*known, *row)]
            cursor.execute(f"{head}{', '.join([place] * len(part))}{tail}", values)


def rows_read(folder: Path, d_sae: int) -> Iterator[tuple[Any, ...]]:
    """What a run found of each latent: its index, the columns of NUMBERS_AND_WORDS."""
    words = Words(vocabulary_open(folder))
    peak_words, glosses = names_read(folder)
    with tensors(folder, "statistics") as statistics, tensors(folder, "logits") as logits:
        columns = [statistics.get_tensor(name) for name in COLUMNS.values()]
        for start in range(0, d_sae, CHUNK):
            rows = slice(start, min(start + CHUNK, d_sae))
            yield from zip(
                range(rows.start, rows.stop),
                *(values[rows].tolist() for values in columns),
                map(_words_json, peak_words[rows].to_pylist()),
                (visible(gloss)[:MOST_GLOSS_CHARACTERS] for gloss in glosses[rows].to_pylist()),
                map(words.in_order, logits.get_slice("promoted_ids")[rows].tolist()),
            )


def terms_write(sae_id: int, folder: Path) -> None:
    """What a search for tokens finds, from a run's files: what features fire on and what they promote, uncut."""
    words = Words(vocabulary_open(folder))
    sources = {FeatureTerm.Kind.FIRES_ON: ("tokens", "ids"), FeatureTerm.Kind.PROMOTES: ("logits", "promoted_ids")}
    for kind, (file, name) in sources.items():
        with tensors(folder, file) as read:
            ids_FL = read.get_tensor(name)
        texts = {token_id: words.word(token_id) for token_id in np.unique(ids_FL).tolist() if token_id >= 0}
        token_terms_replace(sae_id=sae_id, kind=kind, texts=texts, ids_FL=ids_FL)


def _words_json(words: list[dict[str, Any]]) -> str:
    shown = [[visible(each["word"])[:MOST_WORD_CHARACTERS], round(each["share"], 3)] for each in words]
    return json.dumps(shown, ensure_ascii=False)


class Words:
    """Token ids as the words that lists show: trimmed, separated by blanks, cut to what a row holds."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[int, str] = {}

    def in_order(self, ids: list[int]) -> str:
        """Distinct words of `ids` in their order; those below 0 are none."""
        return _joined(list(dict.fromkeys(self.word(token_id) for token_id in ids if token_id >= 0)))

    def word(self, token_id: int) -> str:
        """One token as lists show it."""
        if token_id not in self._known:
            self._known[token_id] = token_shown(self._vocabulary.text(token_id))
        return self._known[token_id]


def _joined(words: list[str]) -> str:
    whole = " ".join(words)
    if len(whole) <= MOST_CHARACTERS:
        return whole
    kept, length = [], 0
    for word in words:
        length += len(word) + 1
        if length - 1 > MOST_CHARACTERS:
            break
        kept.append(word)
    return " ".join(kept)
