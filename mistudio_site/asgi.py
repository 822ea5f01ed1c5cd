"""The ASGI application: Django for HTTP, one consumer for live fragments. Importing it loads no torch."""

import gc
import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

from workers.watchdog import watch_studio

watch_studio()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mistudio_site.settings")
http = get_asgi_application()

from apps.core.live.consumer import LiveConsumer, NothingHere  # noqa: E402 - needs the app registry
from apps.core.live.origin import SameOrigin  # noqa: E402
from apps.core.live.rendering import renderers_discover  # noqa: E402

renderers_discover()  # now, not in the first page's socket

websocket = URLRouter([path("ws/live/", LiveConsumer.as_asgi()), re_path("", NothingHere.as_asgi())])

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": SameOrigin(AuthMiddlewareStack(websocket)),
    }
)

gc.collect()
gc.freeze()  # modules stay for good: full collections, each a pause for all pages, need not look them over
