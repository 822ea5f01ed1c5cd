"""Three middlewares: HEAD, expired sessions under htmx, and expected errors as pages, fragments or JSON."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render, resolve_url
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect

from apps.core.api import error_response
from apps.core.asking import LARGEST_WHOLE, text_require
from apps.core.errors import AppError
from apps.core.templatetags.studio import bytes_words
from apps.core.troubles import trouble_of
from workers.engine.specs.errors import EngineError

Respond = Callable[[HttpRequest], HttpResponse]
UPLOAD = "multipart/form-data"


class HeadMiddleware:
    """Answer HEAD everywhere as GET, without the body: a server that sends one garbles the kept-alive connection."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method != "HEAD":
            return self.get_response(request)
        request.method = "GET"  # META["REQUEST_METHOD"] still tells
        response = self.get_response(request)
        bare = HttpResponse(status=response.status_code, headers=response.headers)
        bare.cookies = response.cookies
        bare._resource_closers = response._resource_closers
        return bare


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
        is_json_asked = request.path.startswith("/api/") and response.status_code >= 400 and is_page
        if not is_json_asked and (response.status_code != 405 or response.content):
            return response
        shown = self.process_exception(request, _plain_error(response))
        if "Allow" in response:
            shown["Allow"] = response["Allow"]
        return shown

    def process_view(
        self, request: HttpRequest, view: Respond, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """What no row can hold reaches no view: ids beyond 64 bits, text with NUL."""
        try:
            if any(isinstance(value, int) and value > LARGEST_WHOLE for value in kwargs.values()):
                raise AppError("not_found", "There is nothing with this number.", "Look at the list.", status=404)
            text_require(request.path)
            sent = [request.GET] if request.content_type == UPLOAD else [request.GET, request.POST]
            for name, values in (each for query in sent for each in query.lists()):
                for text in (name, *values):
                    text_require(text)
        except AppError as error:
            return self.process_exception(request, error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A page, or for htmx a fragment. A full disk and a database out of reach are told too; the rest is Django's."""
        exception = trouble_of(exception) or exception
        if isinstance(exception, EngineError):
            exception = AppError.from_engine(exception)
        if not isinstance(exception, AppError):
            return None
        if request.path.startswith("/api/"):
            return error_response(exception)
        return error_page(request, exception)


def error_page(request: HttpRequest, error: AppError) -> HttpResponse:
    """An error as a page; for htmx as a fragment."""
    is_fragment = request.htmx and not request.htmx.boosted
    template = "components/error_card.html" if is_fragment else "core/error.html"
    context = {"message": error.message, "hint": error.hint, "code": error.code, "references": error.references}
    return render(request, template, context, status=error.status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django itself cannot read (handler400), in words; plain text where not even the sign-in was looked at."""
    error = _unreadable(exception)
    if request.path.startswith("/api/"):
        return error_response(error)
    if hasattr(request, "user") and hasattr(request, "htmx"):
        return error_page(request, error)
    return HttpResponse(f"{error.message} {error.hint}\n", status=error.status, content_type="text/plain")


def _unreadable(exception: Exception) -> AppError:
    if isinstance(exception, RequestDataTooBig):
        words = f"The body is larger than {bytes_words(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)}."
        return AppError("body_too_large", words, "Send less at once; files go as multipart/form-data.", status=413)
    if isinstance(exception, TooManyFieldsSent | TooManyFilesSent):
        words = f"The form has more than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:,} fields or too many files."
        return AppError("body_too_large", words, "Send less at once.", status=413)
    if isinstance(exception, MultiPartParserError):
        hint = "Send Content-Type: multipart/form-data with the boundary that the body has."
        return AppError("bad_form", f"The form cannot be read: {exception}.", hint)
    if isinstance(exception, DisallowedHost):
        return AppError("bad_host", "The studio is not known by this name.", "Add the name to ALLOWED_HOSTS.")
    return AppError("bad_request", "The request cannot be read.", "Look at its address, headers and body.")


def _plain_error(response: HttpResponse) -> AppError:
    """What Django answered with an HTML page, as an error with a code."""
    if response.status_code == 404:
        return AppError("not_found", "There is nothing at this address.", "See /api/v1/openapi.json.", status=404)
    if response.status_code == 405:
        allowed = response.headers.get("Allow", "")
        hint = f"Use {' or '.join(allowed.split(', '))}."
        return AppError("bad_method", "This method is not possible here.", hint, status=405)
    return AppError(
        f"http_{response.status_code}",
        f"The studio answered {response.status_code} {response.reason_phrase}.",
        "The web process's log in DATA_DIR/logs says more.",
        status=response.status_code,
    )
