"""Terms: what search finds features by, and the writes that keep them true.

Tokens come from feature runs and are found whole, as lists show them. Words of labels and categories come from people and
are found by their beginning, folded (text/folding.py). A category is found by its whole path and by that of each part above it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, islice

import numpy as np
from django.db import connection, transaction

from apps.features.models import FeatureTerm
from apps.features.search.index_sets import IndexSet, index_set, union
from workers.engine.text.decoding import visible
from workers.engine.text.folding import folded

PATH_SEPARATOR = " > "
"""Between the parts of a category: "Emotion > Positive"."""
WORD = re.compile(r"\w+")
MOST_CHARACTERS = FeatureTerm._meta.get_field("text").max_length
AT_ONCE = 500
"""Terms read or written by one statement."""

INSERT = f"INSERT INTO {FeatureTerm._meta.db_table} (sae_id, kind, text, features) VALUES "
INSERTED_AT_ONCE = 200

Term = tuple[int, str]
"""Kind and text."""
TermSets = dict[Term, list[IndexSet]]
"""Features of one SAE by term, in parts."""


def token_shown(text: str) -> str:
    """A token's text as lists show it and search knows it: without blanks around, the rest made visible, never empty."""
    return (visible(text.strip() or text).replace(" ", "·") or "∅")[:MOST_CHARACTERS]


def words_in(text: str) -> list[str]:
    """The distinct words of a text, folded."""
    return list(dict.fromkeys(word[:MOST_CHARACTERS] for word in WORD.findall(folded(text))))


def category_term(path: str) -> str:
    """A category's path as it is looked up: folded, without blanks too many."""
    parts = (" ".join(part.split()) for part in folded(path).split(">"))
    return PATH_SEPARATOR.join(part for part in parts if part)[:MOST_CHARACTERS]


@lru_cache(maxsize=16_384)  # of many features that change at once, many bear the same words
def terms_of(label: str, category: str) -> frozenset[Term]:
    """The terms that a feature's words make."""
    found = {(FeatureTerm.Kind.WORD, word) for word in words_in(f"{label} {category}")}
    parts = category.split(PATH_SEPARATOR) if category else []
    paths = (PATH_SEPARATOR.join(parts[: depth + 1]) for depth in range(len(parts)))
    return frozenset(found) | {(FeatureTerm.Kind.CATEGORY, category_term(path)) for path in paths}


@transaction.atomic
def word_terms_change(*, sae_id: int, taken: TermSets, given: TermSets) -> None:
    """Take features of an SAE out of the terms that they had, `taken`, and put them into those they have now, `given`."""
    # A term that two writers make at once must exist before either locks it.
    empty = [FeatureTerm(sae_id=sae_id, kind=kind, text=text, features=index_set()) for kind, text in given]
    FeatureTerm.objects.bulk_create(empty, ignore_conflicts=True, batch_size=AT_ONCE)
    for rows in _locked(sae_id, {*taken, *given}):
        changed, emptied = [], []
        for row in rows:
            term = (row.kind, row.text)
            left = np.setdiff1d(row.features, union(taken.get(term, ())), assume_unique=True)
            members = union([left, *given.get(term, ())])
            if len(members):
                changed.append(FeatureTerm(sae_id=sae_id, kind=row.kind, text=row.text, features=members))
            else:
                emptied.append(row.pk)
        FeatureTerm.objects.bulk_create(
            changed, update_conflicts=True, unique_fields=["sae", "kind", "text"], update_fields=["features"]
        )
        FeatureTerm.objects.filter(pk__in=emptied).delete()


def _locked(sae_id: int, terms: Iterable[Term]) -> Iterator[list[FeatureTerm]]:
    """The rows of `terms` in parts, locked in one order, so that two writers never wait for each other."""
    ordered = sorted(terms)
    for start in range(0, len(ordered), AT_ONCE):
        part = ordered[start : start + AT_ONCE]
        wanted = set(part)
        found = FeatureTerm.objects.select_for_update().filter(
            sae=sae_id, kind__in={kind for kind, _ in part}, text__in=[text for _, text in part]
        )
        yield [row for row in found.order_by("kind", "text") if (row.kind, row.text) in wanted]


@transaction.atomic
def token_terms_replace(*, sae_id: int, kind: int, texts: Mapping[int, str], ids_FL: np.ndarray) -> None:
    """Write the terms of a feature run: row i of `ids_FL` holds the token ids of feature i, below 0 for none; `texts` has
    each id as lists show it."""
    features, places = np.nonzero(ids_FL >= 0)
    ids = ids_FL[features, places]
    order = np.argsort(ids, kind="stable")
    known, starts = np.unique(ids[order], return_index=True)
    members: dict[str, list[np.ndarray]] = {}
    # A token stands once in a row, and the sort kept the order of features: each part is a set.
    for token_id, part in zip(known.tolist(), np.split(features[order].astype(np.uint32), starts[1:])):
        members.setdefault(texts[token_id], []).append(part)
    FeatureTerm.objects.filter(sae=sae_id, kind=kind).delete()
    # Tens of thousands of rows while others wait for the lock: making model instances would take most of the time.
    rows = ((sae_id, kind, text, union(parts).astype("<u4").tobytes()) for text, parts in members.items())
    with connection.cursor() as cursor:
        while part := list(islice(rows, INSERTED_AT_ONCE)):
            cursor.execute(INSERT + ", ".join(["(%s, %s, %s, %s)"] * len(part)), list(chain.from_iterable(part)))
