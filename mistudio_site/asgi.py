"""The ASGI application: Django for HTTP, one consumer for live fragments. Importing it loads no torch."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

from workers.watchdog import watch_studio

watch_studio()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mistudio_site.settings")
http = get_asgi_application()

from apps.core.live.consumer import LiveConsumer  # noqa: E402 - needs the app registry

websocket = URLRouter([path("ws/live/", LiveConsumer.as_asgi())])

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(websocket)),
    }
)
