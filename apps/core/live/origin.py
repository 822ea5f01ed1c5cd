"""Which pages may open a socket: those of the studio itself. A browser sends cookies along with any site's WebSocket."""

import io
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http.request import is_same_domain

Scope = dict[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]
PORTS = {"http": 80, "https": 443}


class SameOrigin:
    """Passes sockets on whose Origin has the scheme, host and port of the address that was called, or is one of
    CSRF_TRUSTED_ORIGINS: the same rule by which Django accepts forms."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        application = self.application if origin_allowed(scope) else WebsocketDenier()
        await application(scope, receive, send)


def origin_allowed(scope: Scope) -> bool:
    """Whether the handshake comes from one of the studio's own pages; one without Origin, or to an unknown host, does not."""
    request = ASGIRequest({**scope, "method": "GET"}, io.BytesIO())
    called_by_tls = request.is_secure() or scope.get("scheme") == "wss"
    try:
        own = f"{'https' if called_by_tls else 'http'}://{request.get_host()}"
    except DisallowedHost:
        return False
    origin = _place(request.META.get("HTTP_ORIGIN", ""))
    return origin is not None and (
        origin == _place(own) or any(_is_trusted(origin, trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS)
    )


Place = tuple[str, str, int]


def _place(address: str) -> Place | None:
    """(scheme, host, port) of an origin; None when it is none."""
    try:
        parts: SplitResult = urlsplit(address)
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _is_trusted(origin: Place, trusted: str) -> bool:
    """`https://*.studio.example` stands for every name below."""
    place = _place(trusted.replace("://*.", "://.", 1))
    return place is not None and (origin[0], origin[2]) == (place[0], place[2]) and is_same_domain(origin[1], place[1])
