"""Live fragment of an activation cache: the card of its page."""

from django.template.loader import render_to_string

from apps.activations.selectors import activation_cache_list
from apps.core.live.rendering import renders
from apps.core.live.topics import ACTIVATIONS


@renders(ACTIVATIONS)
def activation_cache_card(pk: str) -> str | None:
    """What was kept and left out, or the job under way."""
    cache = activation_cache_list().filter(pk=pk).first() if pk.isdecimal() else None
    if cache is None:
        return None
    return render_to_string("activations/detail.html#card", {"cache": cache, "job": cache.job})
