"""JSON endpoints: who may call, what bodies are read, what errors look like, and the description of it all."""

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client, RequestFactory
from django.utils import timezone

from apps.core.api import api, paged
from apps.core.api_tokens import api_token_create
from apps.core.errors import AppError, NotFound, StillReferenced
from apps.core.models import ApiToken
from apps.core.openapi import openapi, spec_schema
from workers.engine.specs.errors import OutOfMemory
from workers.engine.specs.kinds import SPECS


@api("GET", "POST")
def echo(request):
    """Gives back what was sent, or raises what is named."""
    if "raise" in request.GET:
        raise {
            "app": StillReferenced("Dataset 3", ["run 7"]),
            "missing": NotFound("dataset", 3),
            "engine": OutOfMemory("Too much.", "Take less."),
        }[request.GET["raise"]]
    return 201, {"body": request.json, "user": request.user.username}


def call(user, method="post", body=None, **extra):
    """Call `echo` as a user, past the CSRF check as Django's own test client."""
    request = getattr(RequestFactory(), method)("/api/v1/echo", data=body, **extra)
    request.user = user
    request._dont_enforce_csrf_checks = True
    answer = echo(request)
    return answer.status_code, json.loads(answer.content)


def test_a_view_returns_a_status_and_json(owner):
    status, answer = call(owner, body='{"a": [1]}', content_type="application/json")
    assert status == 201
    assert answer == {"body": {"a": [1]}, "user": "owner"}


@pytest.mark.parametrize(
    ("body", "content_type", "code", "status"),
    [
        ("{", "application/json", "bad_json", 400),
        (b"\xff", "application/json", "bad_json", 400),
        ("a=1", "application/x-www-form-urlencoded", "bad_media_type", 415),
    ],
)
def test_a_body_that_is_no_json_is_refused(owner, body, content_type, code, status):
    found, answer = call(owner, body=body, content_type=content_type)
    assert (found, answer["error"]["code"]) == (status, code)


def test_another_method_is_refused(owner):
    status, answer = call(owner, method="delete")
    assert status == 405
    assert "GET or POST" in answer["error"]["hint"]


@pytest.mark.parametrize(("what", "status"), [("app", 409), ("missing", 404), ("engine", 400)])
def test_errors_have_their_status_and_all_five_names(owner, what, status):
    request = RequestFactory().get("/api/v1/echo", {"raise": what})
    request.user = owner
    answer = echo(request)
    assert answer.status_code == status
    assert set(json.loads(answer.content)["error"]) == {"code", "message", "hint", "field", "references"}


def test_a_bearer_token_opens_and_its_use_is_noted(client, owner):
    token, row = api_token_create(user=owner, name="t")
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/v1/settings", headers=headers).status_code == 200
    row.refresh_from_db()
    assert (timezone.now() - row.used_at).total_seconds() < 60


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer mist_wrong", "bearer x y"])
def test_an_unknown_token_opens_nothing_even_with_a_session(client_in, header):
    answer = client_in.get("/api/v1/settings", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_token_of_a_user_who_was_shut_out_opens_nothing(client, owner):
    token, _ = api_token_create(user=owner, name="t")
    owner.is_active = False
    owner.save()
    assert client.get("/api/v1/settings", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_a_token_that_was_revoked_opens_nothing(client, owner):
    token, _ = api_token_create(user=owner, name="t")
    ApiToken.objects.all().delete()
    assert client.get("/api/v1/settings", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_a_session_needs_the_csrf_token_to_change_things_and_a_bearer_does_not(owner):
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    body = {"endpoint_model": "m"}
    refused = client.patch("/api/v1/settings", body, content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "csrf_failed")
    client.get("/settings/")
    token = client.cookies[next(name for name in client.cookies if "csrf" in name)].value
    headers = {"X-CSRFToken": token}
    assert client.patch("/api/v1/settings", body, content_type="application/json", headers=headers).status_code == 200
    bearer, _ = api_token_create(user=owner, name="t")
    headers = {"Authorization": f"Bearer {bearer}"}
    script = Client(enforce_csrf_checks=True)
    assert script.patch("/api/v1/settings", body, content_type="application/json", headers=headers).status_code == 200


def test_an_unknown_address_below_api_is_json(client_in):
    answer = client_in.get("/api/v1/nothing-here")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.django_db
def test_pages_of_rows_tell_where_they_are():
    for number in range(7):
        Group.objects.create(name=f"g{number}")
    rows = Group.objects.order_by("id")

    def page(**query):
        return paged(rows, RequestFactory().get("/", query), lambda group: {"name": group.name})

    assert page(page_size=3, page=3) == {"items": [{"name": "g6"}], "page": 3, "pages": 3, "total": 7}
    assert page(page=2)["items"] == []
    assert page()["total"] == 7
    for bad in ({"page": 0}, {"page": "x"}, {"page_size": 101}, {"page_size": -1}):
        with pytest.raises(AppError) as refused:
            page(**bad)
        assert refused.value.field == next(iter(bad))


def test_the_description_lists_every_endpoint_with_its_methods(client_in):
    found = client_in.get("/api/v1/openapi.json").json()
    assert found == json.loads(json.dumps(openapi()))
    assert found["openapi"].startswith("3.")
    assert set(found["paths"]["/settings"]) == {"get", "patch"}
    assert found["paths"]["/system/charts/{name}"]["parameters"][0]["name"] == "name"
    for operations in found["paths"].values():
        for method, operation in operations.items():
            if method != "parameters":
                assert operation["summary"].strip()


@pytest.mark.parametrize("spec", [pytest.param(spec, id=kind) for kind, spec in SPECS.items()])
def test_the_schema_of_a_spec_is_json_and_names_every_option_with_its_range(spec):
    schema = json.loads(json.dumps(spec_schema(spec)))
    assert set(schema["properties"]) == set(spec.options())
    for name, option in spec.options().items():
        known = schema["properties"][name]
        each = known["items"] if known["type"] == "array" else known
        assert each.get("minimum") == option.minimum
        assert each.get("maximum") == option.maximum
        assert ("default" in known) != (name in schema["required"])


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_a_token_opens_until_its_end_and_nothing_from_then_on(client, owner):
    token, row = api_token_create(user=owner, name="t", days=1)
    assert timedelta(hours=23) < row.expires_at - timezone.now() <= timedelta(days=1)
    assert client.get("/api/v1/settings", headers=bearer(token)).status_code == 200
    ApiToken.objects.update(expires_at=timezone.now())
    answer = client.get("/api/v1/settings", headers=bearer(token))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_ended")


@pytest.mark.parametrize("method", ["post", "patch", "put", "delete"])
def test_a_read_only_token_looks_and_changes_nothing(client, owner, method):
    token, _ = api_token_create(user=owner, name="t", read_only=True)
    assert client.get("/api/v1/settings", headers=bearer(token)).status_code == 200
    assert client.head("/api/v1/settings", headers=bearer(token)).status_code == 200
    answer = getattr(client, method)(
        "/api/v1/settings", {"endpoint_model": "m"}, content_type="application/json", headers=bearer(token)
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "token_read_only")


def test_every_endpoint_that_changes_things_refuses_a_read_only_token(client, owner):
    token, _ = api_token_create(user=owner, name="t", read_only=True)
    tried = 0
    for path, operations in openapi()["paths"].items():
        for method in sorted({"post", "put", "patch", "delete"} & set(operations)):
            address = "/api/v1" + re.sub(r"{\w+}", "1", path)
            answer = getattr(client, method)(address, {}, content_type="application/json", headers=bearer(token))
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "token_read_only"), address
            tried += 1
    assert tried > 40


def test_tokens_are_made_listed_and_revoked_as_json_by_a_signed_in_user(client_in):
    body = {"name": "notebook", "days": 90, "read_only": True}
    answer = client_in.post("/api/v1/tokens", body, content_type="application/json")
    assert answer.status_code == 201
    made = answer.json()
    assert (made["read_only"], made["has_ended"]) == (True, False)
    listed = client_in.get("/api/v1/tokens").json()
    assert [row["id"] for row in listed] == [made["id"]] and "token" not in listed[0]
    assert client_in.delete(f"/api/v1/tokens/{made['id']}").json() == {"revoked": made["id"]}
    assert client_in.get("/api/v1/tokens").json() == []


@pytest.mark.parametrize(
    "body", [{"name": " "}, {"name": "a" * 81}, {"name": "a", "days": 0}, {"name": "a", "days": 4000}]
)
def test_a_token_with_a_name_or_end_it_cannot_have_is_refused(client_in, body):
    answer = client_in.post("/api/v1/tokens", body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, list(body)[-1])
    assert not ApiToken.objects.exists()


def test_a_token_makes_no_other_token_which_could_outlive_it(client, owner):
    token, _ = api_token_create(user=owner, name="t", days=1)
    answer = client.post("/api/v1/tokens", {"name": "x"}, content_type="application/json", headers=bearer(token))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "sign_in_needed")
