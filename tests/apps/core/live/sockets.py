"""A page's end of the live socket, without a browser."""

import asyncio
import re

from channels.testing import WebsocketCommunicator
from django.conf import settings

from apps.core.live.hub import SPACING_S
from mistudio_site.asgi import application


def socket(client, path, origin="http://testserver", **headers: str) -> WebsocketCommunicator:
    """A socket with the cookie of Django's test client, not yet connected."""
    cookie = client.cookies.get(settings.SESSION_COOKIE_NAME)
    named = {"host": "testserver", "origin": origin} | {name.replace("_", "-"): text for name, text in headers.items()}
    headers = [(name.encode(), text.encode()) for name, text in named.items()]
    if cookie is not None:
        headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie.value}".encode()))
    return WebsocketCommunicator(application, path, headers=headers)


async def next_news(page: WebsocketCommunicator) -> tuple[str, str]:
    """The next (topic, html) that is no heartbeat."""
    while True:
        text = await page.receive_from(timeout=10)
        if topic := re.search(r'data-topic="([^"]*)"', text)[1]:
            return topic, text


async def source_is_listening() -> None:
    """The hub marks everything once its source listens: after that replay, whatever is published is heard."""
    await asyncio.sleep(SPACING_S + 0.3)


async def until_silent(page: WebsocketCommunicator) -> list[str]:
    """Everything that is under way."""
    heard = []
    while not await page.receive_nothing(timeout=0.6):
        heard.append(await page.receive_from())
    return heard
