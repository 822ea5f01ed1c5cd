"""Sockets live as long as what opened them: each is closed within LOOK_EVERY_S after its session has ended or expired,
its user's password has changed or its user was shut out, whichever process did that."""

import asyncio
import logging
from collections import defaultdict
from types import SimpleNamespace
from typing import Protocol

from channels.db import database_sync_to_async
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError

LOOK_EVERY_S = 1.0
SESSION_OVER = 4401
"""The close code on which live.js connects anew: with the session that the browser has by then, or it is refused."""

log = logging.getLogger(__name__)


class Socket(Protocol):
    """What is needed of a consumer."""

    async def close(self, code: int | None = None) -> None: ...


class Access:
    """Open sockets by session, and the task that looks after them while there are any."""

    def __init__(self) -> None:
        self.sockets: dict[str, set[Socket]] = defaultdict(set)
        self.task: asyncio.Task[None] | None = None

    def join(self, socket: Socket, session_key: str) -> None:
        """Close this socket when the session is over."""
        self.sockets[session_key].add(socket)
        if self.task is None or self.task.done() or self.task.get_loop() is not asyncio.get_running_loop():
            self.task = asyncio.create_task(self.work(), name="live access")

    def leave(self, socket: Socket) -> None:
        """Forget a socket; the task ends with the last one."""
        for key in [key for key, sockets in self.sockets.items() if socket in sockets]:
            self.sockets[key].discard(socket)
            if not self.sockets[key]:
                del self.sockets[key]
        if not self.sockets and self.task is not None:
            self.task.cancel()
            self.task = None

    async def work(self) -> None:
        """Look again and again until cancelled; a database that does not answer closes nothing."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                over = await database_sync_to_async(sessions_over)(list(self.sockets))
            except DatabaseError as error:
                log.warning("sessions of sockets cannot be read, trying again: %s", error)
                continue
            for key in over:
                await asyncio.gather(
                    *(socket.close(SESSION_OVER) for socket in self.sockets.pop(key, ())), return_exceptions=True
                )


def sessions_over(keys: list[str]) -> list[str]:
    """Those sessions that sign nobody in any more."""
    return [key for key in keys if not get_user(SimpleNamespace(session=SessionStore(key))).is_authenticated]


ACCESS = Access()
