"""The hub: hears topic names, renders what changed once, and sends it to every page that shows it.

One per ASGI process, at work while somebody listens. Topics that speak often are rendered at most twice a second, the
latest state wins. Whatever may have been missed (a new listener, a lost connection) is made good by rendering anew.
"""

import asyncio
import logging
import time
from collections import defaultdict
from typing import Protocol

from channels.db import database_sync_to_async
from django.utils.html import format_html

from apps.core.live import sources
from apps.core.live.rendering import fragment

SPACING_S = 0.5
HEARTBEAT_S = 5.0

log = logging.getLogger(__name__)


class Listener(Protocol):
    """What the hub needs of a consumer."""

    async def send(self, text_data: str | None = None) -> None: ...


class Hub:
    """Listeners by topic, and the task that serves them."""

    def __init__(self) -> None:
        self.listeners: dict[str, set[Listener]] = defaultdict(set)
        self.due: dict[str, float] = {}
        """Changed topics → the earliest time (monotonic) at which they are rendered again."""
        self.rendered_at: dict[str, float] = {}
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def join(self, listener: Listener, topics: list[str]) -> None:
        """Subscribe a listener; each topic's current state follows at once."""
        for topic in topics:
            self.listeners[topic].add(listener)
            self.mark(topic)
        if self.task is None or self.task.done() or self.task.get_loop() is not asyncio.get_running_loop():
            self.changed = asyncio.Event()
            self.changed.set()
            self.task = asyncio.create_task(self.work(), name="live hub")

    def leave(self, listener: Listener) -> None:
        """Forget a listener; the task ends with the last one."""
        for topic in [topic for topic, listening in self.listeners.items() if listener in listening]:
            self.listeners[topic].discard(listener)
            if not self.listeners[topic]:
                for known in (self.listeners, self.due, self.rendered_at):
                    known.pop(topic, None)
        if not self.listeners and self.task is not None:
            self.task.cancel()
            self.task = None

    def mark(self, topic: str) -> None:
        """Note that a topic has changed; one without listeners is not rendered."""
        if topic in self.listeners:
            self.due.setdefault(topic, self.rendered_at.get(topic, 0.0) + SPACING_S)
            self.changed.set()

    def mark_all(self) -> None:
        """Anything may have changed while nobody was looking."""
        for topic in list(self.listeners):
            self.mark(topic)

    async def work(self) -> None:
        """Hear, render and beat until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sources.hear(self.mark, self.mark_all))
            tasks.create_task(self.render_loop())
            tasks.create_task(self.heartbeat())

    async def render_loop(self) -> None:
        """Render topics that are due; sleep until the next one is, or until something changes."""
        while True:
            self.changed.clear()
            for topic in [topic for topic, at in self.due.items() if at <= time.monotonic()]:
                del self.due[topic]
                self.rendered_at[topic] = time.monotonic()
                try:
                    await self.show(topic)
                except Exception:  # one page's broken fragment must not silence all others
                    log.exception("live fragment of %s", topic)
            wait = min(self.due.values(), default=None)
            try:
                async with asyncio.timeout_at(None if wait is None else _loop_time(wait)):
                    await self.changed.wait()
            except TimeoutError:
                continue

    async def show(self, topic: str) -> None:
        """Send a topic's current fragment to its listeners; a topic whose row is gone says only that it spoke."""
        html = await database_sync_to_async(fragment)(topic)
        await self.tell(self.listeners.get(topic, set()), heard(topic) + (html or ""))

    async def heartbeat(self) -> None:
        """Lets the browser tell silence from death."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self.tell({listener for listening in self.listeners.values() for listener in listening}, heard(""))

    async def tell(self, listeners: set[Listener], text: str) -> None:
        """Send to each listener; one whose socket is gone is left to its own disconnect."""
        sent = await asyncio.gather(*(listener.send(text_data=text) for listener in listeners), return_exceptions=True)
        for outcome in sent:
            if isinstance(outcome, Exception):
                log.debug("live listener is gone: %r", outcome)


def heard(topic: str) -> str:
    """The element by which live.js knows which topic spoke."""
    return format_html('<i id="live-heard" hidden data-topic="{}" hx-swap-oob="true"></i>', topic)


def _loop_time(monotonic: float) -> float:
    return asyncio.get_running_loop().time() + max(0.0, monotonic - time.monotonic())


HUB = Hub()
