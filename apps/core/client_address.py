"""Whom the lock-out counts failed sign-ins against: the client's address, behind as many proxies as the studio is told."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The address of the browser. Each of the settings.PROXIES trusted proxies has added one entry at the end of
    X-Forwarded-For; what stands before those was written by the client and proves nothing."""
    peer = request.META.get("REMOTE_ADDR")
    if not settings.PROXIES:
        return peer
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(forwarded) < settings.PROXIES:
        return peer
    return _address(forwarded[-settings.PROXIES]) or peer


def _address(text: str) -> str | None:
    """An entry without its port; None when it is no address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
