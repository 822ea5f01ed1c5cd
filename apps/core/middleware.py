"""Two middlewares: expired sessions under htmx, and expected errors as pages, fragments or JSON."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect

from apps.core.api import error_response
from apps.core.errors import AppError
from apps.core.troubles import trouble_of
from workers.engine.specs.errors import EngineError

Respond = Callable[[HttpRequest], HttpResponse]


class HtmxLoginMiddleware:
    """Send the whole page to the sign-in when a fragment's request was redirected there: it must not be swapped in."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        login_url = resolve_url(settings.LOGIN_URL)
        location = response.headers.get("Location", "")
        if request.htmx and response.status_code == 302 and location.partition("?")[0] == login_url:
            page = request.htmx.current_url_abs_path
            return HttpResponseClientRedirect(f"{login_url}?{urlencode({'next': page})}" if page else login_url)
        return response


class AppErrorMiddleware:
    """Show AppError and EngineError with message and hint; every error below /api/ is JSON, Django's own included."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if request.path.startswith("/api/") and response.status_code >= 400 and is_page:
            return error_response(_plain_error(response))
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A page, or for htmx a fragment. A full disk and a database out of reach are told too; the rest is Django's."""
        exception = trouble_of(exception) or exception
        if isinstance(exception, EngineError):
            exception = AppError.from_engine(exception)
        if not isinstance(exception, AppError):
            return None
        if request.path.startswith("/api/"):
            return error_response(exception)
        is_fragment = request.htmx and not request.htmx.boosted
        template = "components/error_card.html" if is_fragment else "core/error.html"
        context = {"message": exception.message, "hint": exception.hint, "code": exception.code}
        context |= {"references": exception.references}
        return render(request, template, context, status=exception.status)


def _plain_error(response: HttpResponse) -> AppError:
    """What Django answered with an HTML page, as an error with a code."""
    if response.status_code == 404:
        return AppError("not_found", "There is nothing at this address.", "See /api/v1/openapi.json.", status=404)
    return AppError(
        f"http_{response.status_code}",
        f"The studio answered {response.status_code} {response.reason_phrase}.",
        "The web process's log in DATA_DIR/logs says more.",
        status=response.status_code,
    )
