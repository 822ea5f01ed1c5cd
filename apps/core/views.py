"""Signing in and out, the entry link, the settings page, health and the description of the JSON interface."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.api_tokens import NewApiToken, api_token_create, api_token_revoke
from apps.core.connections import CONNECTIONS, connection_test
from apps.core.errors import AppError
from apps.core.forms import PasswordForm, SecretForm
from apps.core.preferences import Preferences, preferences, preferences_save
from apps.core.secrets import secret_kind, secret_remove, secret_set, secret_states
from apps.core.selectors import api_tokens, health
from apps.core.services import OWNER, entry_link_use, password_set
from apps.core.spec_forms import spec_form

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"

sign_in = LoginView.as_view(
    template_name="core/sign_in.html", redirect_authenticated_user=True, initial={"username": OWNER}
)
sign_out = LogoutView.as_view()


@login_not_required
@never_cache
@require_GET
def enter(request: HttpRequest, token: str) -> HttpResponse:
    """Sign in by a one-time link. A GET is enough, as with Jupyter: the link is printed on a terminal, never mailed.

    A browser that merely prefetches the address, or asks for its head, must not use it up.
    """
    if request.META["REQUEST_METHOD"] == "HEAD" or "prefetch" in request.headers.get(
        "Sec-Purpose", request.headers.get("Purpose", "")
    ):
        return HttpResponse(status=204)
    try:
        user = entry_link_use(token=token)
    except AppError as error:
        if request.user.is_authenticated:
            return redirect("home:home")
        return render(request, "core/entry_refused.html", {"error": error}, status=error.status)
    login(request, user, backend=MODEL_BACKEND)
    return redirect("home:home")


@login_not_required
@require_GET
def health_view(request: HttpRequest) -> JsonResponse:
    """{"ok": true, "version", "database"}; 503 while the database does not answer."""
    found = health()
    return JsonResponse(found, status=200 if found["ok"] else 503)


@require_GET
@never_cache
def settings_page(request: HttpRequest) -> HttpResponse:
    """Everything that can be set, on one page."""
    return _settings(request)


def _settings(request: HttpRequest, *, status: int = 200, **changed: Any) -> HttpResponse:
    """The settings page; `changed` puts a form with errors, or a token to show once, in its place."""
    context = {
        "preferences_form": spec_form(Preferences)(initial=preferences().to_json()),
        "secret_rows": [
            {
                "state": state,
                "form": SecretForm(auto_id=f"id_{state.kind.name}_%s"),
                "can_test": state.kind.name in CONNECTIONS,
            }
            for state in secret_states()
        ],
        "password_form": PasswordForm(request),
        "token_form": spec_form(NewApiToken)(),
        "tokens": api_tokens(request.user),
        "connections": {name: Preferences.options()[name].label for name in ("ollama_url", "endpoint_url")},
    }
    return render(request, "core/settings.html", context | changed, status=status)


@require_POST
def preferences_submit(request: HttpRequest) -> HttpResponse:
    """Save the settings."""
    _require_staff(request)
    form = spec_form(Preferences)(request.POST)
    if not form.is_valid():
        return _settings(request, status=422, preferences_form=form)
    preferences_save(form.spec())
    return _done(request, "The settings are saved.")


@require_POST
@sensitive_post_parameters("value")
def secret_submit(request: HttpRequest, name: str) -> HttpResponse:
    """Save a secret, or remove it with the button of that name; an empty field changes nothing."""
    _require_staff(request)
    kind = secret_kind(name)
    if "remove" in request.POST:
        secret_remove(name=name)
        return _done(request, f"{kind.label}: removed.")
    form = SecretForm(request.POST)
    if not form.is_valid():
        raise AppError("secret_invalid", f"{kind.label}: {' '.join(form.errors['value'])}", "Copy it again.")
    if not form.cleaned_data["value"]:
        return _done(request, f"{kind.label}: nothing was entered, nothing changed.")
    secret_set(name=name, value=form.cleaned_data["value"])
    return _done(request, f"{kind.label}: saved.")


@require_POST
def connection_submit(request: HttpRequest, name: str) -> HttpResponse:
    """Call a service once and say what it answered; a fragment for htmx, a message otherwise."""
    _require_staff(request)
    try:
        words, tone = connection_test(name), "success"
    except AppError as error:
        words, tone = f"{error.message} {error.hint}", "error"
    if request.htmx:
        return render(request, "core/settings.html#connection", {"name": name, "words": words, "tone": tone})
    messages.add_message(request, messages.SUCCESS if tone == "success" else messages.ERROR, words)
    return redirect("core:settings")


@require_http_methods(["POST"])
@sensitive_post_parameters("old", "password")
def password_submit(request: HttpRequest) -> HttpResponse:
    """Set or change the password; this browser stays signed in, others are signed out."""
    form = PasswordForm(request, request.POST)
    if form.is_valid():
        try:
            password_set(user=request.user, password=form.cleaned_data["password"])
        except AppError as error:
            form.add_error("password", error.message)
    if not form.is_valid():
        return _settings(request, status=422, password_form=form)
    update_session_auth_hash(request, request.user)
    return _done(request, "The password is set.")


@require_POST
@never_cache
def token_create(request: HttpRequest) -> HttpResponse:
    """Make an API token and show it this once."""
    form = spec_form(NewApiToken)(request.POST)
    if not form.is_valid():
        return _settings(request, status=422, token_form=form)
    spec = form.spec()
    token, _ = api_token_create(user=request.user, name=spec.name, days=spec.days, read_only=spec.read_only)
    return _settings(request, new_token=token)


@require_POST
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete one of one's own tokens."""
    api_token_revoke(user=request.user, pk=pk)
    return _done(request, "The token is revoked.")


def _done(request: HttpRequest, words: str) -> HttpResponseRedirect:
    messages.success(request, words)
    return redirect("core:settings")


def _require_staff(request: HttpRequest) -> None:
    if not request.user.is_staff:
        raise AppError("staff_only", "Only staff may change this.", "Ask the studio's owner.", status=403)
