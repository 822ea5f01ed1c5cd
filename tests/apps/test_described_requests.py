"""schemathesis makes requests from the OpenAPI description, good and bad ones: none ends in a 5xx, each refusal is in words."""

import json
from collections import Counter
from urllib.parse import urlencode

import pytest
import schemathesis.openapi
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from apps.core.openapi import openapi
from tests.apps.everything import everything_make

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]

EXAMPLES = 12
"""Of each mode, for each method of each address."""
THERE = {"pk": 1, "checkpoint": 1, "kind": "training", "action": "checkpoint", "name": "cpu"}
"""Path parameters of what is there: other ones never get past "not found"."""


def test_requests_made_from_the_description_are_answered(client_in):
    everything_make()
    client_in.raise_request_exception = False
    answers, faults = Counter(), []
    operations = [found.ok() for found in schemathesis.openapi.from_dict(openapi()).get_all_operations()]
    for operation in sorted(operations, key=lambda operation: operation.method == "delete"):
        for mode in GenerationMode:
            fire(client_in, operation, mode, answers, faults)
    print(sum(answers.values()), "requests:", dict(answers))
    assert faults == []
    assert sum(answers.values()) > 10 * len(operations)


def json_of(body):
    return json.dumps(body) if isinstance(body, dict | list | str | int | float | bool | None) else b""


def fire(client, operation, mode, answers, faults):
    names = {parameter.name for parameter in operation.path_parameters}
    known = {name: value for name, value in THERE.items() if name in names} if mode is GenerationMode.POSITIVE else {}

    @settings(
        max_examples=EXAMPLES, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=known or None))
    def ask(case):
        address = f"/api/v1{case.formatted_path}"
        query = f"?{urlencode(case.query, doseq=True)}" if case.query else ""
        sends = case.method not in ("GET", "HEAD")
        more = {"data": case.body if isinstance(case.body, bytes) else json_of(case.body)} if sends else {}
        answer = client.generic(case.method, address + query, content_type="application/json", **more)
        answers[answer.status_code] += 1
        if answer.status_code >= 500 or (answer.status_code >= 400 and not answer.json()["error"]["message"]):
            faults.append((answer.status_code, case.method, address + query, more))

    try:
        ask()
    except Unsatisfiable:  # an address without parameters and body has no bad requests
        assert mode is GenerationMode.NEGATIVE
