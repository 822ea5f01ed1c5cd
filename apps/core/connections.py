"""Tests of connection to services outside: one small request each; no client library slows the web process."""

from collections.abc import Callable
from typing import Any

from apps.core.errors import AppError, NotFound
from apps.core.outgoing import json_ask
from apps.core.preferences import preferences
from apps.core.secrets import secret_get, secret_kind


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
    return _models("Ollama", _names(json_ask(f"{url.rstrip('/')}/api/tags", is_entered=True), "models", "name"))


def _endpoint() -> str:
    url = preferences().endpoint_url
    if not url:
        raise AppError("setting_missing", "No endpoint is set.", "Enter its address and save it.")
    # No key is sent: the stored one is for OpenAI's own address.
    return _models("The endpoint", _names(json_ask(f"{url.rstrip('/')}/models", is_entered=True), "data", "id"))


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
    """A name in the answer, cut; half a surrogate pair in it becomes "?"."""
    found = str(row.get(name, ""))[:100] if isinstance(row, dict) else ""
    return found.encode(errors="replace").decode()


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
