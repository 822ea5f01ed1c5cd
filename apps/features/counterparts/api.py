"""The same feature in other SAEs as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import api
from apps.features.counterparts.selectors import counterparts_json, counterparts_of
from apps.features.selectors import feature_get


@api("GET")
def counterparts(request: HttpRequest, pk: int) -> Any:
    """The same feature in other SAEs of the language model: the nearest decoder rows of each, by cosine."""
    found = feature_get(pk)
    return counterparts_json(counterparts_of(found.sae, found.index))
