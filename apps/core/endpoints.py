"""Settings and the interface's own description as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import api
from apps.core.errors import AppError
from apps.core.openapi import openapi
from apps.core.preferences import preferences_change
from apps.core.selectors import settings_json


@api("GET")
def description(request: HttpRequest) -> Any:
    """This OpenAPI description."""
    return openapi()


@api("GET", "PATCH")
def settings(request: HttpRequest) -> Any:
    """All settings, and which secrets are stored; PATCH {"name": value} changes settings."""
    if request.method == "PATCH":
        if not request.user.is_staff:
            raise AppError("staff_only", "Only staff may change this.", "Ask the studio's owner.", status=403)
        preferences_change(request.json)
    return settings_json()
