"""Tests of connection to services outside: one small request each, by plain HTTPS; no client library slows the web process.

Addresses that people enter are resolved and checked first: link-local and cloud metadata hosts are refused always, hosts
of this machine or network unless MISTUDIO_ALLOW_PRIVATE_LLM. Redirects are not followed, answers are cut at LARGEST_ANSWER.
"""

import ipaddress
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

from django.conf import settings

from apps.core.asking import json_read
from apps.core.errors import AppError, NotFound
from apps.core.preferences import preferences
from apps.core.secrets import secret_get, secret_kind

TIMEOUT_S = 5
LARGEST_ANSWER = 4_000_000
METADATA_HOSTS = frozenset({"100.100.100.200", "fd00:ec2::254", "168.63.129.16"})
"""Cloud metadata services outside the link-local range."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_allowed(url: str) -> None:
    """Raise AppError "address_refused" unless every address that the URL's host resolves to may be called."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _refused(url, "It is no http or https address.")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AppError(
            "host_unknown", f"The host {parts.hostname} has no address.", "Check its spelling and your network."
        ) from None
    for *_, place in found:
        _check_ip(url, ipaddress.ip_address(str(place[0]).partition("%")[0]))


def _check_ip(url: str, ip: IPAddress) -> None:
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or str(ip) in METADATA_HOSTS:
        raise _refused(url, f"{ip} may belong to a metadata service.")
    if not ip.is_global and not settings.ALLOW_PRIVATE_LLM:
        raise _refused(url, f"{ip} is on this machine or network and MISTUDIO_ALLOW_PRIVATE_LLM is 0.")


def _refused(url: str, reason: str) -> AppError:
    return AppError("address_refused", f"{url} must not be called. {reason}", "Enter another address.")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could lead past the check of the address."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def json_ask(url: str, *, headers: dict[str, str] | None = None, method: str = "GET") -> Any:
    """The JSON at a checked address; AppError "connection_failed" with the reason otherwise. Headers are never logged."""
    request = urllib.request.Request(url, headers={"Accept": "application/json", **(headers or {})}, method=method)
    host = urlsplit(url).hostname
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            body = answer.read(LARGEST_ANSWER + 1)
    except urllib.error.HTTPError as error:
        hint = "Check the key." if error.code in (401, 403) else "Check the address."
        raise AppError("connection_failed", f"{host} answered {error.code} {error.reason}.", hint) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise AppError("connection_failed", f"{host} does not answer: {reason}.", "Is it running?") from None
    if len(body) > LARGEST_ANSWER:
        raise AppError("connection_failed", f"{host} sent more than {LARGEST_ANSWER:,} bytes.", "Check the address.")
    try:
        return json_read(body)
    except AppError:
        raise AppError("connection_failed", f"{host} did not send JSON.", "Check the address.") from None


def _key(name: str) -> str:
    value = secret_get(name)
    if value is None:
        raise AppError("secret_missing", f"No {secret_kind(name).label} is stored.", "Enter one and save it.")
    return value


def _bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {_key(name)}"}


def _hugging_face() -> str:
    answer = json_ask("https://huggingface.co/api/whoami-v2", headers=_bearer("hf_token"))
    return f"Hugging Face knows the token as {_text(answer, 'name')}."


def _openai() -> str:
    answer = json_ask("https://api.openai.com/v1/models", headers=_bearer("openai_key"))
    return f"OpenAI offers {len(_names(answer, 'data', 'id'))} models."


def _neuronpedia() -> str:
    """Asks for the account's own lists: every GET of Neuronpedia answers without a key, this POST reads only."""
    headers = {"X-Api-Key": _key("neuronpedia_key")}
    lists = json_ask("https://www.neuronpedia.org/api/list/list", headers=headers, method="POST")
    if not isinstance(lists, list):
        raise _another_form()
    count = f"{len(lists)} list{'s' * (len(lists) != 1)}"
    return f"Neuronpedia accepts the key: it showed the {count} of the key's account. Nothing was uploaded."


def _ollama() -> str:
    url = preferences().ollama_url
    address_allowed(url)
    return _models("Ollama", _names(json_ask(f"{url.rstrip('/')}/api/tags"), "models", "name"))


def _endpoint() -> str:
    url = preferences().endpoint_url
    if not url:
        raise AppError("setting_missing", "No endpoint is set.", "Enter its address and save it.")
    address_allowed(url)  # no key is sent: the stored one is for OpenAI's own address
    return _models("The endpoint", _names(json_ask(f"{url.rstrip('/')}/models"), "data", "id"))


def _models(who: str, names: list[str]) -> str:
    if not names:
        return f"{who} answers and has no model yet."
    more = ", …" if len(names) > 5 else "."
    return f"{who} answers with {len(names)} model{'s' * (len(names) > 1)}: {', '.join(names[:5])}{more}"


def _names(answer: Any, key: str, name: str) -> list[str]:
    rows = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise _another_form()
    return [_text(row, name) for row in rows]


def _another_form() -> AppError:
    return AppError("connection_failed", "The server's answer has another form than expected.", "Check the address.")


def _text(row: Any, name: str) -> str:
    return str(row.get(name, ""))[:100] if isinstance(row, dict) else ""


CONNECTIONS: dict[str, Callable[[], str]] = {
    "hf_token": _hugging_face,
    "openai_key": _openai,
    "neuronpedia_key": _neuronpedia,
    "ollama_url": _ollama,
    "endpoint_url": _endpoint,
}
"""Setting or secret → the test of its service."""


def connection_test(name: str) -> str:
    """Call the service once; a sentence about what it answered, or AppError."""
    if name not in CONNECTIONS:
        raise NotFound("connection", name)
    return CONNECTIONS[name]()
