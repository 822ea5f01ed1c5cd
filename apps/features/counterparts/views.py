"""The same feature in other SAEs: a part that the feature page asks for, and a page of its own without scripts."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.core.errors import NotFound
from apps.features.counterparts.selectors import counterparts_of
from apps.features.selectors import feature_of
from apps.saes.selectors import sae_get


@require_GET
def counterparts_page(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """The nearest decoder rows of the other SAEs of this language model."""
    sae = sae_get(sae_id)
    if not 0 <= index < sae.d_sae:
        raise NotFound("feature", index)
    context = {"sae": sae, "index": index, "feature": feature_of(sae, index), "found": counterparts_of(sae, index)}
    is_fragment = request.htmx and not request.htmx.boosted
    template = "features/counterparts.html#rows" if is_fragment else "features/counterparts.html"
    return render(request, template, context)
