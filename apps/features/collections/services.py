"""Writes about collections: making, renaming, deleting, and which features lie in them."""

from collections.abc import Callable, Iterable
from urllib.parse import urlencode

import numpy as np
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse

from apps.core.errors import AppError
from apps.features.models import Collection, CollectionPart, Feature
from apps.features.search.index_sets import IndexSet, index_set, members_by_sae, spans_of, union
from apps.features.services import MOST_NOTES_CHARACTERS
from apps.saes.models import Sae

MOST_NAME_CHARACTERS = Collection._meta.get_field("name").max_length
MOST_ADDRESS_CHARACTERS = 2_000
"""Longer lists of numbers do not go into an address: they become a collection."""


def collection_create(*, name: str, note: str = "", user: AbstractBaseUser | None = None) -> Collection:
    """A new, empty collection. AppError "name_taken" when there is one of that name."""
    return _save(Collection(created_by=user), name, note)


def collection_change(*, collection: Collection, name: str | None = None, note: str | None = None) -> Collection:
    """Another name or note; None leaves what it has."""
    return _save(collection, collection.name if name is None else name, collection.note if note is None else note)


def collection_delete(*, collection: Collection) -> None:
    """Delete a collection; its features stay."""
    collection.delete()


@transaction.atomic
def collection_add(*, collection: Collection, features: QuerySet[Feature]) -> int:
    """Put features into a collection; returns how many are new in it."""
    return sum(
        _part_change(collection, sae_id, lambda held, members=members: union([held, members]))
        for sae_id, members in members_by_sae(features).items()
    )


@transaction.atomic
def collection_remove(*, collection: Collection, features: QuerySet[Feature]) -> int:
    """Take features out of a collection; returns how many lay in it."""
    return -sum(
        _part_change(collection, sae_id, lambda held, members=members: np.setdiff1d(held, members))
        for sae_id, members in members_by_sae(features).items()
    )


@transaction.atomic
def collection_add_named(
    *, name: str, features: QuerySet[Feature], user: AbstractBaseUser | None = None
) -> tuple[Collection, int]:
    """Put features into the collection of that name, made where there is none; with how many are new in it."""
    found = Collection.objects.filter(name=_name(name)).first()
    collection = found or collection_create(name=name, user=user)
    return collection, collection_add(collection=collection, features=features)


@transaction.atomic
def selection_url(*, sae: Sae, indices: Iterable[int], user: AbstractBaseUser | None = None) -> str:
    """The address of the list of these features. A selection too long for an address is saved as a collection."""
    members = index_set(indices)
    if not len(members) or members[-1] >= sae.d_sae:
        raise AppError("bad_selection", "No feature of this SAE was chosen.", f"Its features are 0 to {sae.d_sae - 1}.")
    address, spans = reverse("features:list", args=[sae.pk]), spans_of(members)
    if len(spans) <= MOST_ADDRESS_CHARACTERS:
        return f"{address}?{urlencode({'features': spans})}"
    collection = collection_create(name=_free_name(f"Selection of {len(members):,} features of {sae}"), user=user)
    CollectionPart.objects.create(collection=collection, sae=sae, features=members)
    return f"{address}?{urlencode({'collection': collection.pk})}"


def _part_change(collection: Collection, sae_id: int, change: Callable[[IndexSet], IndexSet]) -> int:
    """The part of one SAE becomes what `change` makes of its features; returns by how many it grew."""
    Collection.objects.select_for_update().get(pk=collection.pk)
    part = collection.parts.filter(sae=sae_id).first() or CollectionPart(
        collection=collection, sae_id=sae_id, features=index_set()
    )
    before, part.features = len(part.features), change(part.features)
    if len(part.features):
        part.save()
    elif part.pk:
        part.delete()
    collection.save(update_fields=["changed_at"])
    return len(part.features) - before


def _save(collection: Collection, name: str, note: str) -> Collection:
    collection.name, collection.note = _name(name), note.replace("\0", "").strip()
    if len(collection.note) > MOST_NOTES_CHARACTERS:
        raise AppError(
            "too_long", "The note is too long.", f"At most {MOST_NOTES_CHARACTERS:,} characters.", field="note"
        )
    try:
        with transaction.atomic():
            collection.save()
    except IntegrityError:
        raise AppError(
            "name_taken", f"There is a collection “{collection.name}” already.", "Choose another name.", field="name"
        ) from None
    return collection


def _name(name: str) -> str:
    name = " ".join(name.replace("\0", "").split())
    if not name:
        raise AppError("name_missing", "The collection has no name.", "Write one.", field="name")
    if len(name) > MOST_NAME_CHARACTERS:
        raise AppError("too_long", "The name is too long.", f"At most {MOST_NAME_CHARACTERS} characters.", field="name")
    return name


def _free_name(wanted: str) -> str:
    """`wanted`, with a number behind it where it is taken."""
    taken = set(Collection.objects.filter(name__startswith=wanted).values_list("name", flat=True))
    numbered = (f"{wanted} ({number})" for number in range(2, len(taken) + 2))
    return wanted if wanted not in taken else next(name for name in numbered if name not in taken)
