"""JSON endpoints under /api/v1/: the `api` decorator for function views and the shapes that all of them answer with.

A caller is the signed-in browser (then unsafe methods need the CSRF token) or a script with `Authorization: Bearer`.
Errors are {"error": {"code", "message", "hint", "field", "references"}} with the error's own HTTP status.
"""

from collections.abc import Callable, Iterable
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
from apps.core.asking import json_read, names_require, whole_asked
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
    *methods: str, spec: type[Spec] | None = None, takes_list: bool = False
) -> Callable[[Callable[..., Answer]], Callable[..., HttpResponse]]:
    """Make a function view a JSON endpoint for `methods`; the view finds the parsed body in `request.json`: an object, or
    where it `takes_list` also a list.

    `spec` is the Spec that a POST body is made of; the OpenAPI description is written from it.
    """

    def decorate(view: Callable[..., Answer]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def endpoint(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                authenticate(request)
                if request.method not in methods:
                    return _method_refused(request, methods)
                request.json = _body(request, takes_list=takes_list)
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


def _method_refused(request: HttpRequest, methods: tuple[str, ...]) -> JsonResponse:
    words, hint = f"{request.method} is not possible here.", f"Use {' or '.join(methods)}."
    response = error_response(AppError("bad_method", words, hint, status=405))
    response["Allow"] = ", ".join(methods)
    return response


def _body(request: HttpRequest, *, takes_list: bool) -> Any:
    """The parsed JSON body; {} when there is none. A multipart upload stays with request.FILES."""
    if request.method in SAFE_METHODS or request.content_type == "multipart/form-data" or not request.body:
        return {}
    if request.content_type != "application/json":
        raise AppError("bad_media_type", "The body is not JSON.", "Send Content-Type: application/json.", status=415)
    body = json_read(request.body)
    if isinstance(body, dict) or (takes_list and isinstance(body, list)):
        return body
    raise AppError("spec_invalid", "The body is not a JSON object.", "Send {…} with the options by name.")


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


def paged(
    queryset: QuerySet, request: HttpRequest, to_json: Callable[[Any], JSON], *, filters: Iterable[str] = ()
) -> JSON:
    """One page of rows by ?page= (from 1) and ?page_size= (at most LARGEST_PAGE); a page past the end is empty.

    `filters` are the other parameters that the list knows. AppError "bad_filter" for any else.
    """
    names_require(request.GET, (*filters, "page", "page_size"))
    number = whole_asked(request.GET, "page", default=1, least=1)
    size = whole_asked(request.GET, "page_size", default=PAGE_SIZE, least=1, most=LARGEST_PAGE)
    pages = Paginator(queryset, size)
    items = pages.page(number).object_list if number <= pages.num_pages else []
    return {
        "items": [to_json(item) for item in items],
        "page": number,
        "pages": pages.num_pages,
        "total": pages.count,
    }
