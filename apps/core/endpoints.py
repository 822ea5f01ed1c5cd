"""Settings and the interface's own description as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import api
from apps.core.api_tokens import NewApiToken, api_token_create, api_token_json, api_token_revoke
from apps.core.errors import AppError
from apps.core.openapi import openapi
from apps.core.preferences import preferences_change
from apps.core.selectors import api_tokens, settings_json
from apps.core.spec_forms import spec_from_json


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


@api("GET", "POST", spec=NewApiToken)
def tokens(request: HttpRequest) -> Any:
    """The user's API tokens, newest first; POST makes one and shows its text this once. A token makes no other: it could
    give it more time and a wider scope than its own."""
    if request.method == "GET":
        return [api_token_json(row) for row in api_tokens(request.user)]
    if request.api_token is not None:
        raise AppError("sign_in_needed", "An API token cannot make another.", "Sign in, and make it there.", status=403)
    spec = spec_from_json(NewApiToken, request.json)
    text, row = api_token_create(user=request.user, name=spec.name, days=spec.days, read_only=spec.read_only)
    return 201, {**api_token_json(row), "token": text}


@api("DELETE")
def token(request: HttpRequest, pk: int) -> Any:
    """Revoke one of the user's own API tokens."""
    api_token_revoke(user=request.user, pk=pk)
    return {"revoked": pk}
