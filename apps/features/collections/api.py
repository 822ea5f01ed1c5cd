"""Collections of features as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import api, paged
from apps.core.json_bodies import fields_check
from apps.features.api import asked_features
from apps.features.collections import services
from apps.features.collections.selectors import collection_get, collection_json, collection_list

FIELDS = {"name": str, "note": str}


@api("GET", "POST")
def collections(request: HttpRequest) -> Any:
    """Collections by name (?q= looks into names and notes); POST {"name", "note"} makes one, with the features of ?sae=
    that the fields of the list's filter find, if an SAE is given: 201."""
    if request.method == "POST":
        fields_check(request.json, FIELDS)
        found = asked_features(request) if request.GET.get("sae") else None
        made = services.collection_create(
            name=request.json.get("name", ""), note=request.json.get("note", ""), user=request.user
        )
        if found is not None:
            services.collection_add(collection=made, features=found)
        return 201, collection_json(collection_get(made.pk))
    return paged(collection_list(request.GET.get("q", "").strip()), request, collection_json, filters=("q",))


@api("GET", "PATCH", "DELETE")
def collection(request: HttpRequest, pk: int) -> Any:
    """One collection; PATCH changes name or note, DELETE removes it, its features stay. Its features are those of
    GET features?collection={id}."""
    found = collection_get(pk)
    if request.method == "DELETE":
        services.collection_delete(collection=found)
        return {"deleted": pk}
    if request.method == "PATCH":
        fields_check(request.json, FIELDS)
        services.collection_change(collection=found, **request.json)
    return collection_json(found)


@api("POST", "DELETE")
def members(request: HttpRequest, pk: int) -> Any:
    """Put the features of ?sae= that the filter's fields find into the collection, or with DELETE take them out."""
    found, features = collection_get(pk), asked_features(request)
    change = services.collection_add if request.method == "POST" else services.collection_remove
    return {"changed": change(collection=found, features=features), **collection_json(collection_get(pk))}
