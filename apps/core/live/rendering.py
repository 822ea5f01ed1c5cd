"""What each topic shows: apps register one renderer per entity in their `live.py`, the hub and the poll call them.

A fragment is HTML whose outer elements carry an id and hx-swap-oob="true"; those the page does not have are ignored
by the browser. Text in it is escaped by the template like anywhere else.
"""

import re
from collections.abc import Callable
from functools import cache

from django.utils.module_loading import autodiscover_modules

Renderer = Callable[[str], str | None]

_RENDERERS: dict[str, Renderer] = {}
_TOPIC = re.compile(r"([a-z-]+)/([a-z0-9]+(?:/[0-9]+)?)")


def renders(entity: str) -> Callable[[Renderer], Renderer]:
    """Register the decorated function(pk) → HTML, or None when the row is gone, for topics `entity/pk`."""

    def register(renderer: Renderer) -> Renderer:
        if _RENDERERS.get(entity, renderer) is not renderer:
            raise ValueError(f"two renderers for {entity} topics")
        _RENDERERS[entity] = renderer
        return renderer

    return register


@cache
def renderers_discover() -> None:
    """Import the `live` module of every installed app: where fragments are asked for, so not in workers and commands."""
    autodiscover_modules("live")


def is_known(topic: str) -> bool:
    """Whether the topic has the right form and somebody renders its entity."""
    renderers_discover()
    match = _TOPIC.fullmatch(topic)
    return match is not None and match.group(1) in _RENDERERS


def fragment(topic: str) -> str | None:
    """The current HTML of a known topic; None when its row is gone. Reads the database."""
    renderers_discover()
    entity, pk = topic.split("/", 1)
    return _RENDERERS[entity](pk)
