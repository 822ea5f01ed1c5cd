"""The page's WebSocket: /ws/live/?topic=jobs/12&topic=trainings/7. It only sends; the hub decides what and when."""

from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer

from apps.core.live.access import ACCESS
from apps.core.live.hub import HUB
from apps.core.live.rendering import is_known

MOST_TOPICS = 200


class LiveConsumer(AsyncWebsocketConsumer):
    """Subscribes a signed-in user's page to its topics. Strangers and unknown topics are refused before the handshake."""

    async def connect(self) -> None:
        topics = topics_of(self.scope["query_string"].decode(errors="replace"))
        if not self.scope["user"].is_authenticated or topics is None:
            await self.close()
            return
        await self.accept()
        ACCESS.join(self, self.scope["session"].session_key)
        HUB.join(self, topics)

    async def disconnect(self, code: int) -> None:
        ACCESS.leave(self)
        HUB.leave(self)


class NothingHere(AsyncWebsocketConsumer):
    """Refuses sockets at any other address."""

    async def connect(self) -> None:
        await self.close()


def topics_of(query: str) -> list[str] | None:
    """The topics of a query string, each once; None when one is unknown or there are none or too many."""
    topics = list(dict.fromkeys(parse_qs(query).get("topic", [])))
    return topics if 0 < len(topics) <= MOST_TOPICS and all(is_known(topic) for topic in topics) else None
