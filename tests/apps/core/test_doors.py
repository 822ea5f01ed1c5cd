"""HEAD, methods that are not possible, and requests that Django itself cannot read: in words, on pages and as JSON."""

import pytest
from django.test import Client

from apps.core.models import EntryLink
from apps.core.services import entry_url_make

pytestmark = pytest.mark.django_db
PAGES = ("/", "/jobs/", "/settings/", "/api/v1/jobs", "/api/v1/openapi.json", "/presets/export/", "/nothing/")


@pytest.mark.parametrize("address", PAGES)
def test_head_is_answered_as_get_without_its_body(client_in, address):
    seen, head = client_in.get(address), client_in.head(address)
    assert (head.status_code, head.content) == (seen.status_code, b"")
    assert head.headers["Content-Type"] == seen.headers["Content-Type"]
    assert not head.streaming


def test_the_health_of_the_studio_answers_head(client):
    assert client.head("/health/").status_code == 200


def test_head_does_not_use_up_an_entry_link(client):
    url = entry_url_make(base_url="")
    assert client.head(url).status_code == 204
    assert EntryLink.objects.get().used_at is None
    assert client.get(url).status_code == 302


@pytest.mark.parametrize(("method", "address", "allowed"), [
    ("delete", "/api/v1/settings", "GET, PATCH"), ("put", "/api/v1/jobs", "GET"),
    ("post", "/jobs/", "GET"), ("get", "/settings/tokens/", "POST"), ("get", "/sign-out/", "POST, OPTIONS"),
])  # fmt: skip
def test_a_method_that_is_not_possible_is_refused_with_the_possible_ones(client_in, method, address, allowed):
    answer = getattr(client_in, method)(address)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert "not possible here" in answer.text and allowed.split(", ")[0] in answer.text


@pytest.mark.parametrize("address", ["/api/v1/datasets", "/datasets/new/"])
def test_a_form_without_boundary_is_said(client_in, address):
    answer = client_in.post(address, data=b"--x", content_type="multipart/form-data")
    assert answer.status_code == 400 and "boundary" in answer.text


@pytest.mark.parametrize(("address", "content_type"), [
    ("/api/v1/settings", "application/json"), ("/jobs/1/cancel", "application/x-www-form-urlencoded"),
])  # fmt: skip
def test_a_body_over_the_limit_says_so(client_in, address, content_type):
    method = client_in.patch if "api" in address else client_in.post
    answer = method(address, data=b"x" * 3_000_000, content_type=content_type)
    assert answer.status_code == 413 and "larger than 2.5 MiB" in answer.text


def test_a_form_of_too_many_fields_says_so(client_in):
    body = "&".join(f"f{number}=1" for number in range(1001))
    answer = client_in.post("/jobs/1/cancel", data=body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413 and "1,000 fields" in answer.text


def test_a_name_that_the_studio_has_not_is_said(owner):
    answer = Client(headers={"host": "elsewhere.example"}).get("/")
    assert answer.status_code == 400 and "ALLOWED_HOSTS" in answer.text


@pytest.mark.parametrize("address", ["/jobs/?q=%00", "/jobs/?%00=1", "/api/v1/jobs?query=a%00b", "/jobs/%00/"])
def test_text_with_nul_reaches_no_view(client_in, address):
    answer = client_in.get(address)
    assert answer.status_code in (400, 404) and answer.content


@pytest.mark.parametrize("address", [f"/jobs/{2**63}/", f"/api/v1/jobs/{10**30}", f"/datasets/{'9' * 5000}/"])
def test_an_id_that_no_row_has_is_not_found(client_in, address):
    assert client_in.get(address).status_code == 404


@pytest.mark.parametrize("address", [
    "/jobs/?stat=queued",
    "/datasets/?order=name",
    "/steering/?q=x",
    "/jobs/?state=bogus", "/jobs/?kind=bogus", "/datasets/?sort=bogus", "/training/?architecture=bogus",
    "/saes/?language_model=bogus", "/presets/?kind=bogus",
    "/api/v1/jobs?state=bogus", "/api/v1/jobs?stat=queued", "/api/v1/saes?layer=15", "/api/v1/models?sort=bogus",
    "/api/v1/trainings?state=bogus", "/api/v1/exports?sae=x", "/api/v1/presets/training?favorite=1",
    "/api/v1/features/extraction?sea=1", "/api/v1/datasets/lookups?q=x",
])  # fmt: skip
def test_an_unknown_filter_or_value_is_refused_with_the_known_ones(client_in, address):
    answer = client_in.get(address)
    assert answer.status_code == 400
    assert "Known: " in answer.text or "whole number" in answer.text
