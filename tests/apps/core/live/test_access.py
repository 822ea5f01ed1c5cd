"""Who may hold a socket: pages of the studio's own origin, for as long as their session signs somebody in."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from apps.core.live.access import ACCESS, LOOK_EVERY_S, SESSION_OVER
from apps.core.live.origin import origin_allowed
from tests.apps.core.live.sockets import socket

TRANSACTIONAL = pytest.mark.django_db(transaction=True)
OWN = "127.0.0.1:8765"


def handshake(origin, host=OWN, scheme="ws", **headers):
    """The scope of a WebSocket's handshake."""
    named = {"host": host, **headers} | ({} if origin is None else {"origin": origin})
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in named.items()]
    return {"type": "websocket", "path": "/ws/live/", "scheme": scheme, "headers": pairs, "query_string": b""}


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "is_allowed"),
    [
        (f"http://{OWN}", OWN, "ws", True),
        ("http://127.0.0.1:9999", OWN, "ws", False),
        ("http://127.0.0.1", OWN, "ws", False),
        (f"https://{OWN}", OWN, "ws", False),
        ("http://localhost:8765", OWN, "ws", False),
        ("http://evil.example:8765", OWN, "ws", False),
        ("http://evil.example:8765", "evil.example:8765", "ws", False),
        ("http://127.0.0.1.evil.example:8765", OWN, "ws", False),
        (f"http://{OWN}@evil.example", OWN, "ws", False),
        (f"http://{OWN}, http://evil.example", OWN, "ws", False),
        ("http://127.0.0.1:99999999", OWN, "ws", False),
        ("null", OWN, "ws", False),
        ("", OWN, "ws", False),
        (None, OWN, "ws", False),
        ("http://localhost", "localhost", "ws", True),
        ("http://localhost", "localhost:80", "ws", True),
        ("https://localhost", "localhost", "wss", True),
        ("http://[::1]:8765", "[::1]:8765", "ws", True),
        ("http://[::1]:8766", "[::1]:8765", "ws", False),
    ],
)
def test_an_origin_needs_the_scheme_host_and_port_that_were_called(settings, origin, host, scheme, is_allowed):
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
    assert origin_allowed(handshake(origin, host, scheme)) is is_allowed


def test_behind_a_tls_proxy_the_forwarded_scheme_counts_and_only_there(settings):
    settings.ALLOWED_HOSTS = ["studio.example"]
    forwarded = handshake("https://studio.example", "studio.example", x_forwarded_proto="https")
    assert not origin_allowed(forwarded)
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert origin_allowed(forwarded)
    assert not origin_allowed(handshake("http://studio.example", "studio.example", x_forwarded_proto="https"))


def test_trusted_origins_of_forms_may_open_sockets_too(settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://studio.example", "https://*.lab.example:8443"]
    assert origin_allowed(handshake("https://studio.example", "testserver"))
    assert origin_allowed(handshake("https://a.lab.example:8443", "testserver"))
    for other in (
        "http://studio.example",
        "https://studio.example:444",
        "https://a.lab.example",
        "https://xlab.example:8443",
    ):
        assert not origin_allowed(handshake(other, "testserver")), other


def sign_out(client, owner):
    client.post("/sign-out/")


def sign_out_by_another_process(client, owner):
    Session.objects.all().delete()


def expire(client, owner):
    Session.objects.update(expire_date=timezone.now())


def change_the_password_by_page(client, owner):
    words = {"old": "correct horse battery", "password": "another horse battery"}
    other = Client()
    other.force_login(owner)
    assert other.post("/settings/password/", words).status_code == 302


def change_the_password_by_command(client, owner):
    owner.set_password("another horse battery")
    owner.save()


def shut_out(client, owner):
    type(owner).objects.update(is_active=False)


def delete(client, owner):
    owner.delete()


ENDS = [
    sign_out,
    sign_out_by_another_process,
    expire,
    change_the_password_by_page,
    change_the_password_by_command,
    shut_out,
    delete,
]


@TRANSACTIONAL
@pytest.mark.parametrize("end", ENDS)
async def test_a_socket_ends_with_what_opened_it(client_in, owner, end):
    page = socket(client_in, "/ws/live/?topic=jobs/all")
    assert (await page.connect())[0]
    await sync_to_async(end)(client_in, owner)
    while (message := await page.receive_output(timeout=20 * LOOK_EVERY_S))["type"] == "websocket.send":
        pass
    assert message == {"type": "websocket.close", "code": SESSION_OVER}
    await page.disconnect()
    assert ACCESS.task is None and not ACCESS.sockets
    assert not (await socket(client_in, "/ws/live/?topic=jobs/all").connect())[0]


@TRANSACTIONAL
async def test_the_sockets_of_other_sessions_stay(client_in, owner):
    other = Client()
    await sync_to_async(other.force_login)(owner)
    pages = [socket(client, "/ws/live/?topic=jobs/all") for client in (client_in, other)]
    for page in pages:
        assert (await page.connect())[0]
    await sync_to_async(sign_out)(client_in, owner)
    while (await pages[0].receive_output(timeout=20 * LOOK_EVERY_S))["type"] == "websocket.send":
        pass
    assert list(ACCESS.sockets) == [other.session.session_key]
    await asyncio.sleep(LOOK_EVERY_S * 1.2)
    assert list(ACCESS.sockets) == [other.session.session_key]
    for page in pages:
        await page.disconnect()
