"""No request ends in a 5xx: every JSON address and every page of a studio with one of everything is asked oddly."""

import json
import re

import pytest
from django.urls import URLResolver, get_resolver
from django.utils.http import urlencode

from apps.core.openapi import PREFIX, openapi
from tests.apps.everything import everything_make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]

DEEP = "[" * 2000 + "]" * 2000
BODIES = (
    b"", b"[]", b"null", b"3", b'"x"', b"{}", b"{", b"\xff", DEEP.encode(), b'{"name":' + DEEP.encode() + b"}",
    b'{"name": "\\ud800", "q": 1}', b'{"name": "\\u0000"}', b'{"name": NaN}', b'{"seed": 1e999}',
    b'{"sae": ' + b"9" * 5000 + b"}", b'{"sae": 100000000000000000000, "index": 18446744073709551616}',
    b'{"name": 3, "note": [], "spec": "x", "ids": [true, 1.5], "keep": -1, "priority": true, "quantization": {}}',
    b'{"name": "", "sae": "x", "ids": "3", "keep": "x", "priority": "1", "row": -1, "tags": {}}',
    b'{"ids": [99999999999999999999], "row": 9223372036854775807, "keep": 9223372036854775807, "priority": 1000}',
    json.dumps({"name": "x" * 1000, "features": [{"index": 2**62, "strength": 1e308}], "tokenization": 2**62}).encode(),
)  # fmt: skip
NUMBERS = ("", "x", "-1", "1.5", "٣", "nan", "9" * 20, "9" * 5000, str(2**63 - 1), "1,x", "\0", "%", "<b>")
NAMES = (
    "page", "page_size", "sae", "state", "kind", "sort", "architecture", "language_model", "tokenization", "ids", "run",
    "after", "member", "keep", "from", "col", "lo", "hi", "value", "points", "host", "reason", "part", "preset", "lookup",
    "map", "area", "features", "collection", "min_density", "max_max", "index", "f", "q", "query", "context_length", "batch",
    "activation_cache", "smooth", "width", "weakest", "format", "on_clash", "colour", "layer", "site", "tokens", "text",
    "watched", "among", "bogus",
)  # fmt: skip
IDS = ("1", "0", "999999", str(2**63 - 1), str(2**63), "9" * 30)
PARAMETER = re.compile(r"\{(\w+)\}|<(?:\w+:)?(\w+)>")
STRINGS = {"kind": "training", "action": "checkpoint", "name": "cpu", "site": "resid_post", "token": "x", "picker": "x"}


@pytest.fixture
def ask(client_in):
    """Asks, and keeps count of what came of it."""
    everything_make()
    client_in.raise_request_exception = False
    faults, asked = [], []

    def ask(method, address, body=None, content_type="application/json"):
        more = {} if body is None else {"data": body, "content_type": content_type}
        answer = getattr(client_in, method)(address, **more)
        asked.append(answer.status_code)
        if answer.status_code >= 500:
            faults.append(f"{method} {address[:120]} {(body or b'')[:60]!r}: {answer.status_code}")
        return answer

    yield ask
    print(f"{len(asked)} requests, {len(faults)} of them 5xx")
    assert asked and faults == []


def filled(route, number):
    return PARAMETER.sub(lambda match: STRINGS.get(match[1] or match[2], number), route)


def operations():
    """(method, path) of every JSON address; deleting comes last."""
    found = [
        (method, path) for path, methods in openapi()["paths"].items() for method in methods if method != "parameters"
    ]
    return sorted(found, key=lambda operation: operation[0] == "delete")


def pages(patterns=None, before=""):
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if not route.startswith(("admin/", PREFIX)):
                yield from pages(pattern.url_patterns, route)
        else:
            yield f"/{route}"


def test_odd_bodies(ask):
    for method, path in operations():
        if method in ("get", "delete"):
            continue
        for body in BODIES:
            answer = ask(method, f"/api/v1{filled(path, '1')}", body)
            if answer.status_code >= 400:
                assert answer.json()["error"]["message"]


def test_odd_ids(ask):
    for method, path in operations():
        if "{" in path:
            for number in IDS:
                if number != "1" or method == "get":
                    ask(method, f"/api/v1{filled(path, number)}")
    for path in pages():
        if "<" in path:
            for number in IDS:
                ask("get", filled(path, number))
                ask("post", filled(path, number)) if number != "1" else None


@pytest.mark.slow
def test_odd_parameters(ask):
    addresses = [f"/api/v1{filled(path, '1')}" for method, path in operations() if method == "get"]
    addresses += [filled(path, "1") for path in pages() if not path.startswith(("/sign-out", "/enter"))]
    for number, address in enumerate(addresses):
        for place, text in enumerate(NUMBERS):  # each name with each value, over the addresses
            asked = dict.fromkeys(NAMES[(number + place) % 4 :: 4], text)
            ask("get", f"{address}?{urlencode(asked)}")
        for name in NAMES[number % 3 :: 3]:  # alone, each name at every third address
            ask("get", f"{address}?{urlencode({name: NUMBERS[(number + len(name)) % len(NUMBERS)]})}")
