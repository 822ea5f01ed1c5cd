"""Lucide's icons as inline SVG, each drawn once: a list of fifty rows shows more than a hundred."""

from functools import lru_cache

from django import template
from django.utils.safestring import SafeString
from lucide.templatetags.lucide import lucide as draw

register = template.Library()

MOST_KEPT = 2048


@register.simple_tag
def lucide(name: str, *, size: int | None = 24, **attributes: object) -> SafeString:
    """{% lucide "star" size=16 aria_hidden="true" %}, as the package's own tag."""
    return _drawn(name, size, tuple(sorted(attributes.items())))


@lru_cache(MOST_KEPT)
def _drawn(name: str, size: int | None, attributes: tuple[tuple[str, object], ...]) -> SafeString:
    return draw(name, size=size, **dict(attributes))
