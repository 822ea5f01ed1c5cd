"""Downloads that are made while they are sent, so that their size costs no memory."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def streamed(request: HttpRequest, pieces: Iterator[str], *, content_type: str, filename: str) -> StreamingHttpResponse:
    """An answer that sends `pieces` one by one, saved by browsers as `filename`. The pieces may ask the database."""
    # an ordinary iterator would be read to its end before an ASGI server sends the first byte
    content = _one_by_one(pieces) if isinstance(request, ASGIRequest) else pieces
    response = StreamingHttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


async def _one_by_one(pieces: Iterator[str]) -> AsyncIterator[str]:
    take = sync_to_async(next)
    while (piece := await take(pieces, None)) is not None:
        yield piece
