"""GET /live/?topic=…: the same fragments as the socket sends, for pages whose socket is closed or silent."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.core.errors import AppError
from apps.core.live.consumer import topics_of
from apps.core.live.rendering import fragment


@require_GET
@never_cache
def fragments(request: HttpRequest) -> HttpResponse:
    """The current fragments of the asked topics, one after the other."""
    topics = topics_of(request.META["QUERY_STRING"])
    if topics is None:
        raise AppError("unknown_topic", "A topic of this page is unknown.", "Reload the page.")
    return HttpResponse("".join(fragment(topic) or "" for topic in topics))
