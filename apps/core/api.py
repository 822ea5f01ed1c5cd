"""JSON endpoints under /api/v1/: the `api` decorator for function views and the shapes that all of them answer with.

A caller is the signed-in browser (then unsafe methods need the CSRF token) or a script with `Authorization: Bearer`.
Errors are {"error": {"code", "message", "hint", "field", "references"}} with the error's own HTTP status.
"""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.views.decorators.csrf import csrf_exempt

from apps.core.api_tokens import api_token_use
from apps.core.errors import AppError
from workers.engine.specs.base import Spec
from workers.engine.specs.errors import EngineError

JSON = dict[str, Any]
Answer = JSON | list[Any] | tuple[int, JSON] | HttpResponseBase
PAGE_SIZE = 25
LARGEST_PAGE = 100
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class JobLike(Protocol):
    """What an answer needs to know of a job."""

    pk: int
    state: str
    topic: str

    def get_absolute_url(self) -> str: ...


def api(
    *methods: str, spec: type[Spec] | None = None
) -> Callable[[Callable[..., Answer]], Callable[..., HttpResponse]]:
    """Make a function view a JSON endpoint for `methods`; the view finds the parsed body in `request.json`.

    `spec` is the Spec that a POST body is made of; the OpenAPI description is written from it.
    """

    def decorate(view: Callable[..., Answer]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def endpoint(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                authenticate(request)
                _require_method(request, methods)
                request.json = _body(request)
                return _response(view(request, *args, **kwargs))
            except AppError as error:
                return error_response(error)
            except EngineError as error:
                return error_response(AppError.from_engine(error))
            except Http404 as error:
                return error_response(AppError("not_found", str(error), "Look at the list.", status=404))

        endpoint.api_methods = methods
        endpoint.api_spec = spec
        return csrf_exempt(login_not_required(endpoint))  # `authenticate` sees to both

    return decorate


def authenticate(request: HttpRequest) -> None:
    """Set request.user and request.api_token from a bearer token, or accept the session; AppError 401 or 403 otherwise."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        request.api_token = api_token_use(token=token.strip(), changes=request.method not in SAFE_METHODS)
        request.user = request.api_token.user
        return
    request.api_token = None
    if not request.user.is_authenticated:
        raise AppError(
            "not_signed_in",
            "This endpoint needs a sign-in.",
            "Send the header Authorization: Bearer with a token from the settings page.",
            status=401,
        )
    if request.method not in SAFE_METHODS and _csrf_failure(request):
        raise AppError(
            "csrf_failed",
            "The request carries no valid CSRF token.",
            "Send the header X-CSRFToken, or use an API token in place of the session.",
            status=403,
        )


class _CsrfCheck(CsrfViewMiddleware):
    """Django's own check, with the reason for a refusal in place of its HTML page."""

    def _reject(self, request: HttpRequest, reason: str) -> str:  # type: ignore[override]
        return reason


def _csrf_failure(request: HttpRequest) -> str | None:
    """Why the CSRF check refuses the request; None when it passes."""
    check = _CsrfCheck(lambda request: HttpResponse())
    check.process_request(request)
    return check.process_view(request, None, (), {})


def _require_method(request: HttpRequest, methods: tuple[str, ...]) -> None:
    method = "GET" if request.method == "HEAD" else request.method
    if method not in methods:
        raise AppError(
            "bad_method", f"{request.method} is not possible here.", f"Use {' or '.join(methods)}.", status=405
        )


def _body(request: HttpRequest) -> Any:
    """The parsed JSON body; {} when there is none. A multipart upload stays with request.FILES."""
    if request.method in SAFE_METHODS or request.content_type == "multipart/form-data" or not request.body:
        return {}
    if request.content_type != "application/json":
        raise AppError("bad_media_type", "The body is not JSON.", "Send Content-Type: application/json.", status=415)
    try:
        return json.loads(request.body)
    except ValueError as error:  # bad JSON and bad UTF-8 alike
        raise AppError("bad_json", f"The body is no valid JSON: {error}.", "Check brackets and quotes.") from None


def _response(answer: Answer) -> HttpResponseBase:
    if isinstance(answer, HttpResponseBase):  # a download is no HttpResponse
        return answer
    status, content = answer if isinstance(answer, tuple) else (200, answer)
    return JsonResponse(content, status=status, safe=False)


def error_response(error: AppError) -> JsonResponse:
    """The JSON form of an error."""
    response = JsonResponse({"error": error_json(error)}, status=error.status)
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def error_json(error: AppError) -> JSON:
    """code, message, hint, field and references of an error."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "field": error.field,
        "references": list(error.references),
    }


def accepted(job: JobLike, result_url: str) -> tuple[int, JSON]:
    """202: the work was asked for. `url` is where its result will be."""
    summary = {"id": job.pk, "state": str(job.state), "url": job.get_absolute_url(), "topic": job.topic}
    return 202, {"job": summary, "url": result_url}


def paged(queryset: QuerySet, request: HttpRequest, to_json: Callable[[Any], JSON]) -> JSON:
    """One page of rows by ?page= (from 1) and ?page_size= (at most LARGEST_PAGE); a page past the end is empty."""
    number = _whole(request, "page", default=1)
    size = _whole(request, "page_size", default=PAGE_SIZE, most=LARGEST_PAGE)
    pages = Paginator(queryset, size)
    items = pages.page(number).object_list if number <= pages.num_pages else []
    return {
        "items": [to_json(item) for item in items],
        "page": number,
        "pages": pages.num_pages,
        "total": pages.count,
    }


def _whole(request: HttpRequest, name: str, *, default: int, most: int | None = None) -> int:
    """A positive whole number of the query string."""
    text = request.GET.get(name, str(default))
    if not text.isdecimal() or int(text) < 1 or (most is not None and int(text) > most):
        span = f"from 1 to {most}" if most else "from 1"
        raise AppError("bad_page", f"{name}={text!r} is not a whole number {span}.", "Correct the address.", field=name)
    return int(text)
