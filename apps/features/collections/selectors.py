"""What pages, endpoints and commands read of collections."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.features.models import Collection, CollectionPart, Feature
from apps.features.search.index_sets import IndexSet, index_set
from apps.saes.models import Sae

MOST_SHOWN = 20
"""Features of each SAE on a collection's page; its list has the others."""


@dataclass(frozen=True)
class ShownPart:
    """The features of one SAE in a collection: how many, and the first of them."""

    sae: Sae
    count: int
    features: list[Feature]


def collection_list(query: str = "") -> QuerySet[Collection]:
    """All collections by name, those with `query` in name or note."""
    return found_by(Collection.objects.prefetch_related("parts__sae"), query, "name", "note")


def collection_get(pk: int) -> Collection:
    """The collection; NotFound otherwise."""
    return row_of(collection_list(), "collection", pk)


def collection_features(collection: Collection, sae_id: int) -> IndexSet:
    """The features of one SAE that lie in the collection."""
    part = CollectionPart.objects.filter(collection=collection, sae=sae_id).first()
    return index_set() if part is None else part.features


def parts_shown(collection: Collection) -> list[ShownPart]:
    """Each SAE's part of the collection."""
    return [
        ShownPart(
            part.sae,
            len(part.features),
            list(part.sae.features.select_related("sae").filter(index__in=part.features[:MOST_SHOWN].tolist())),
        )
        for part in collection.parts.all()
    ]


def collection_json(collection: Collection) -> dict[str, Any]:
    """The collection as the API and `--json` show it."""
    parts = collection.parts.all()
    return {
        "id": collection.pk,
        "name": collection.name,
        "note": collection.note,
        "features": sum(len(part.features) for part in parts),
        "saes": [{"id": part.sae_id, "name": str(part.sae), "features": len(part.features)} for part in parts],
        "changed_at": collection.changed_at.isoformat(),
        "url": collection.get_absolute_url(),
    }
