"""Expected errors reach people as a page, a fragment or JSON; others stay Django's."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django_htmx.middleware import HtmxDetails

from apps.core.errors import AppError, StillReferenced
from apps.core.middleware import AppErrorMiddleware
from workers.engine.specs.errors import SpecInvalid


def shown(owner, error, path="/saes/", **headers):
    request = RequestFactory().get(path, headers=headers)
    request.user, request.htmx = owner, HtmxDetails(request)
    return AppErrorMiddleware(lambda request: HttpResponse()).process_exception(request, error)


def test_an_expected_error_is_a_page_with_message_hint_and_status(owner):
    answer = shown(owner, StillReferenced("Dataset 3", ["run 7", "run 8"]))
    page = answer.content.decode()
    assert answer.status_code == 409
    assert page.count("<h1") == 1
    assert "Delete those first." in page
    assert "<li>run 8</li>" in page


def test_for_htmx_it_is_a_fragment(owner):
    page = shown(owner, AppError("x", "It <b>failed</b>.", "Try."), **{"HX-Request": "true"}).content.decode()
    assert "<h1" not in page
    assert "It &lt;b&gt;failed&lt;/b&gt;." in page


def test_below_api_it_is_json(owner):
    answer = shown(owner, AppError("x", "No.", "Try."), path="/api/v1/saes")
    assert answer.headers["Content-Type"] == "application/json"


def test_an_error_of_the_engine_is_shown_alike(owner):
    answer = shown(owner, SpecInvalid("k exceeds d_sae.", "Choose less.", field="k"))
    assert answer.status_code == 400
    assert "k exceeds d_sae." in answer.content.decode()


def test_an_unforeseen_error_is_left_to_django(owner):
    assert shown(owner, ValueError("bug")) is None


def test_a_missing_page_has_the_studios_frame(client_in):
    answer = client_in.get("/nothing/here/")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


@pytest.mark.django_db
def test_a_missing_page_is_shown_to_strangers_too(client):
    assert client.get("/nothing/here/").status_code == 404
