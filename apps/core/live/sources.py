"""Where the hub hears topic names: NOTIFY on PostgreSQL, new Pulse rows on SQLite.

SQLite's `PRAGMA data_version` changes when another connection has committed; asking it ten times a second reads no
table while nobody writes.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable

import psycopg
from django.db import connection

from apps.core.live.publishing import CHANNEL
from apps.core.models import Pulse

POLL_S = 0.1
RETRY_S = 1.0

log = logging.getLogger(__name__)


async def hear(mark: Callable[[str], None], mark_all: Callable[[], None]) -> None:
    """Call `mark(topic)` for each name heard, and `mark_all()` whenever a connection begins. Ends only by cancellation."""
    listen = hear_postgresql if connection.vendor == "postgresql" else hear_sqlite
    while True:
        try:
            await listen(mark, mark_all)
        except (psycopg.Error, sqlite3.Error, OSError) as error:
            log.warning("live source lost, trying again: %s", error)
            await asyncio.sleep(RETRY_S)


async def hear_postgresql(mark: Callable[[str], None], mark_all: Callable[[], None]) -> None:
    """LISTEN on a connection of its own; returns or raises when it is lost."""
    known = connection.get_connection_params()
    parameters = {name: value for name, value in known.items() if name not in ("context", "cursor_factory")}
    async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as listening:
        await listening.execute(f"listen {CHANNEL}")
        mark_all()
        async for notification in listening.notifies():
            mark(notification.payload)


async def hear_sqlite(mark: Callable[[str], None], mark_all: Callable[[], None]) -> None:
    """Read new Pulse rows whenever the file has changed; raises when it cannot be read."""
    table = Pulse._meta.db_table
    database = sqlite3.connect(f"file:{connection.settings_dict['NAME']}?mode=ro", uri=True, isolation_level=None)
    try:
        last = database.execute(f"select coalesce(max(id), 0) from {table}").fetchone()[0]
        mark_all()
        version = None
        while True:
            now = database.execute("pragma data_version").fetchone()[0]
            if now != version:
                version = now
                rows = database.execute(f"select id, topic from {table} where id > ? order by id", [last]).fetchall()
                last = rows[-1][0] if rows else last
                for _, topic in rows:
                    mark(topic)
            await asyncio.sleep(POLL_S)
    finally:
        database.close()
