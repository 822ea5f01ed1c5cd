"""The search box: what is typed becomes the set of features of an SAE that it finds.

rain clouds        features with words that begin so in label or category, or that fire on just such a token;
                   all parts must be found
token:rain         features that fire on this token, written as lists show it, blanks around it left out
promotes:rain      features that raise this token's logit
notes:"wet day"    features with this in their notes
"""

import re
from collections.abc import Callable, Iterable

from django.db import connection
from django.db.models import Q, QuerySet

from apps.features.models import Feature, FeatureTerm
from apps.features.search.index_sets import IndexSet, index_set, intersection, union
from apps.features.search.terms import MOST_CHARACTERS, category_term, token_shown, words_in
from workers.engine.text.folding import folded, spellings

PART = re.compile(r'(?:(?P<field>token|promotes|notes):)?(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))')
BLANKS = " ·Ġ▁"
"""How tokenizers and lists write a blank: nobody types it to find the token behind."""
AFTER_ALL = "\U0010ffff"


Part = tuple[str | None, str]
"""The field that a part of the query names, or None, and its text."""


def query_parts(query: str) -> list[Part]:
    """What was typed, part by part."""
    parts = ((part["field"], part["plain"] or part["quoted"]) for part in PART.finditer(query))
    return [(field, text) for field, text in parts if text.strip()]


def part_found(sae_id: int, part: Part) -> IndexSet:
    """The features of an SAE that one part of the query finds."""
    field, text = part
    return FINDERS[field](sae_id, text)


def features_firing_on(sae_id: int, token: str) -> IndexSet:
    """The features that fire on a token."""
    return _token_found(FeatureTerm.Kind.FIRES_ON)(sae_id, token)


def features_in_category(sae_id: int, category: str) -> IndexSet:
    """The features in a category or below it, whatever the case."""
    return _members(_terms(sae_id, FeatureTerm.Kind.CATEGORY).filter(text=category_term(category)))


def _plain_found(sae_id: int, text: str) -> IndexSet:
    firing = features_firing_on(sae_id, text)
    words = words_in(text)
    if not words:
        return firing
    named = [_members(_terms(sae_id, FeatureTerm.Kind.WORD).filter(begins(word))) for word in words]
    return union([firing, intersection(named)])


def _token_found(kind: int) -> Callable[[int, str], IndexSet]:
    def found(sae_id: int, text: str) -> IndexSet:
        shown = token_shown(text.strip(BLANKS) or text)
        return _members(_terms(sae_id, kind).filter(text__in=spellings(shown)))

    return found


def _notes_found(sae_id: int, text: str) -> IndexSet:
    # Spelled as the index of features with notes is, so that only these are read.
    noted = Feature.objects.filter(~Q(notes=""), sae=sae_id).order_by().values_list("index", "notes")
    wanted = folded(text)
    return index_set(index for index, notes in noted.iterator() if wanted in folded(notes))


FINDERS: dict[str | None, Callable[[int, str], IndexSet]] = {
    None: _plain_found,
    "token": features_firing_on,
    "promotes": _token_found(FeatureTerm.Kind.PROMOTES),
    "notes": _notes_found,
}


def begins(word: str) -> Q:
    """The condition that a term's text begins with `word`, in the form whose index the database can use."""
    word = word[:MOST_CHARACTERS]
    if connection.vendor == "postgresql":
        return Q(text__startswith=word)
    return Q(text__gte=word, text__lt=word + AFTER_ALL)


def _terms(sae_id: int, kind: int) -> QuerySet[FeatureTerm]:
    return FeatureTerm.objects.filter(sae=sae_id, kind=kind)


def _members(terms: QuerySet[FeatureTerm]) -> IndexSet:
    return union(_arrays(terms))


def _arrays(terms: QuerySet[FeatureTerm]) -> Iterable[IndexSet]:
    return terms.order_by().values_list("features", flat=True)
