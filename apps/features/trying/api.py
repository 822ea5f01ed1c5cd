"""Texts that are tried as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api
from apps.core.spec_forms import spec_from_json
from apps.features.trying.selectors import tried_json, tried_text_get
from apps.features.trying.services import text_try, tried_text_delete
from workers.engine.specs.try_text import TryTextSpec


@api("POST", spec=TryTextSpec)
def try_text(request: HttpRequest) -> Any:
    """Read a text, or two, with an SAE: 202 with the job; the answer is at features/tried/{id} for a day."""
    tried = text_try(spec=spec_from_json(TryTextSpec, request.json), user=request.user)
    return accepted(tried.job, f"/api/v1/features/tried/{tried.pk}")


@api("GET", "DELETE")
def tried_text(request: HttpRequest, pk: int) -> Any:
    """A text that was tried, with its answer once that is there."""
    tried = tried_text_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": tried_text_delete(tried=tried)}
    return tried_json(tried)
