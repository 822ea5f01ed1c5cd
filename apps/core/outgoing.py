"""The web process's own requests to other servers: small, JSON, by the standard library, within one deadline.

A host that a person has entered is resolved once; every address found must be allowed, and the connection goes to one of
them, so that no second answer of the name server and no proxy lies between check and call. Redirects are not followed.
"""

import contextlib
import http.client
import ipaddress
import queue
import socket
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings

from apps.core.addresses import address_check, refused
from apps.core.asking import json_read
from apps.core.errors import AppError

DEADLINE_S = 5.0
"""For all of it: resolving, connecting, TLS, sending, reading to the end."""
LARGEST_ANSWER = 4_000_000
MOST_ADDRESSES = 8
"""A name may resolve to many; no more of them are tried."""
PORTS = {"http": 80, "https": 443}


def json_ask(url: str, *, headers: dict[str, str] | None = None, method: str = "GET", is_entered: bool = False) -> Any:
    """The JSON at an address; AppError "connection_failed" with the reason otherwise. Headers are never logged.

    `is_entered`: the address comes from a person, so it is checked ("address_refused", "host_unknown") and called
    directly; others may go through the proxy that the environment names.
    """
    call = _Call(url, {"Accept": "application/json", **(headers or {})}, method, is_entered)
    status, reason, body = call.answer()
    if not 200 <= status < 300:
        hint = "Check the key." if status in (401, 403) else "Check the address."
        raise AppError("connection_failed", f"{call.host} answered {status} {reason}.", hint)
    if len(body) > LARGEST_ANSWER:
        raise _failed(f"{call.host} sent more than {LARGEST_ANSWER:,} bytes.")
    try:
        return json_read(body)
    except AppError:
        raise _failed(f"{call.host} did not send JSON.") from None


def _failed(message: str, hint: str = "Check the address.") -> AppError:
    return AppError("connection_failed", message, hint)


@dataclass
class _Call:
    """One request, made by a thread of its own: resolving a name cannot be interrupted, so its end is not waited for."""

    url: str
    headers: dict[str, str]
    method: str
    is_entered: bool
    until: float = field(default_factory=lambda: time.monotonic() + DEADLINE_S)
    sockets: list[socket.socket] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    outcome: "queue.SimpleQueue[tuple[int, str, bytes] | Exception]" = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            self.scheme, self.host, self.port = parts.scheme, parts.hostname or "", parts.port
        except ValueError:
            self.scheme = self.host = ""
        if self.scheme not in PORTS or not self.host:
            raise refused(self.url, "It is no http or https address.")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self.target = quote(target or "/", safe="/%:@!$&'()*+,;=?~")
        self.allow_private = settings.ALLOW_PRIVATE_LLM

    def answer(self) -> tuple[int, str, bytes]:
        """Status, reason and body; AppError when there is none in time."""
        threading.Thread(target=self._work, daemon=True, name=f"call {self.host}").start()
        try:
            outcome = self.outcome.get(timeout=self._left())
        except queue.Empty:
            outcome = TimeoutError()
            self._hang_up()
        if isinstance(outcome, AppError):
            raise outcome
        if isinstance(outcome, TimeoutError):
            raise _failed(f"{self.host} did not answer within {DEADLINE_S:g} s.", "Is it running?")
        if isinstance(outcome, Exception):
            raise _failed(f"{self.host} does not answer: {outcome}.", "Is it running?")
        return outcome

    def _work(self) -> None:
        try:
            self.outcome.put(self._request())
        except (AppError, OSError, http.client.HTTPException, ValueError) as error:
            self.outcome.put(error)
        finally:
            self._hang_up()

    def _request(self) -> tuple[int, str, bytes]:
        connection, target = self._connection()
        # The class asks this attribute for its socket; host name and TLS server name stay those of the address.
        connection._create_connection = self._connect  # type: ignore[attr-defined]
        with contextlib.closing(connection):
            connection.request(self.method, target, headers=self.headers)
            answer = connection.getresponse()
            return answer.status, answer.reason, answer.read(LARGEST_ANSWER + 1)

    def _connection(self) -> tuple[http.client.HTTPConnection, str]:
        """The connection, not yet made, and the target to ask it for."""
        kind = http.client.HTTPSConnection if self.scheme == "https" else http.client.HTTPConnection
        proxy = None if self.is_entered or urllib.request.proxy_bypass(self.host) else _proxy(self.scheme)
        if proxy is None:
            return kind(self.host, self.port or PORTS[self.scheme]), self.target
        connection = kind(*proxy)
        if self.scheme == "https":
            connection.set_tunnel(self.host, self.port or PORTS[self.scheme])
            return connection, self.target
        self.headers["Host"] = urlsplit(self.url).netloc
        return connection, self.url

    def _connect(self, address: tuple[str, int], *_: Any) -> socket.socket:
        """The first connection that comes about with one of the host's addresses, all of which must be allowed."""
        found = _resolve(*address)
        if self.is_entered:
            for *_, place in found:
                ip = ipaddress.ip_address(str(place[0]).partition("%")[0])
                address_check(self.url, ip, private_allowed=self.allow_private)
        error: OSError = TimeoutError()
        found = found[:MOST_ADDRESSES]
        for number, (family, kind, protocol, _, place) in enumerate(found):
            made = socket.socket(family, kind, protocol)
            made.settimeout(max(0.05, self._left() / (len(found) - number)))
            self.sockets.append(made.dup())  # TLS takes the socket over; a copy hangs up for all
            if self.over.is_set():
                made.close()
                raise TimeoutError
            try:
                made.connect(place)
            except OSError as failure:
                made.close()
                error = failure
                continue
            made.settimeout(max(0.05, self._left()))
            return made
        raise error

    def _left(self) -> float:
        return max(0.0, self.until - time.monotonic())

    def _hang_up(self) -> None:
        """End whatever is still read or written, and let nothing begin."""
        self.over.set()
        for made in list(self.sockets):
            with contextlib.suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
            made.close()


def _resolve(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AppError(
            "host_unknown", f"The host {host} has no address.", "Check its spelling and your network."
        ) from None


def _proxy(scheme: str) -> tuple[str, int] | None:
    """Host and port of the environment's proxy for a scheme."""
    parts = urlsplit(urllib.request.getproxies().get(scheme, ""))
    return (parts.hostname, parts.port or PORTS["http"]) if parts.hostname else None
