"""Pages and JSON of SAEs."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.live.rendering import fragment, renderers_discover
from apps.core.storage import data_path
from apps.jobs.states import State
from apps.saes.models import Sae
from apps.saes.services import sae_delete
from tests.apps.training.worlds import evaluation_finish, sae_make, state_set

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
JSON = "application/json"


@pytest.mark.parametrize("state", State.values)
def test_an_sae_has_a_page_whatever_its_evaluation_does(client_in, state):
    sae = sae_make()
    state_set(sae.evaluations.get().job, state, error_message="It broke.")
    page = client_in.get(f"/saes/{sae.pk}/").content.decode()
    assert "Not measured yet" in page and "3.resid_post" in page


def test_numbers_come_with_formula_and_n(client_in):
    sae = sae_make()
    evaluation_finish(sae.evaluations.get())
    page = client_in.get(f"/saes/{sae.pk}/").content.decode()
    assert "(CE_zero − CE_sae) / (CE_zero − CE_clean)" in page
    assert '<data class="number" value="5012" title="5,012">5,012</data>' in page  # n of FVU with sinks
    assert "58 latents fire, 0 of them on more than a tenth" in page
    assert "12 sink tokens" in page


def test_provenance_is_shown_flat(client_in):
    sae = sae_make()
    record = {"inputs": {"dataset": {"name": "stories & more"}}, "device": "cpu", "empty": None}
    (data_path("saes", sae.pk) / "provenance.json").write_text(json.dumps(record))
    page = client_in.get(f"/saes/{sae.pk}/").content.decode()
    assert "inputs.dataset.name" in page and "stories &amp; more" in page
    assert client_in.get(f"/api/v1/saes/{sae.pk}").json()["provenance"] == record


def test_the_list_needs_no_more_queries_for_more_saes(client_in):
    first = sae_make()
    evaluation_finish(first.evaluations.get())

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page = client_in.get("/saes/").content.decode()
        assert "TopK 64 k=4" in page
        return len(captured)

    few = queries()
    for number in range(8):
        Sae.objects.create(
            **{field: getattr(first, field) for field in ("language_model", "layer", "site", "architecture", "d_in")},
            d_sae=first.d_sae,
            name=f"copy {number}",
            source="trained",
            encode=first.encode,
        )
    assert queries() == few


def test_the_list_shows_the_newest_finished_numbers_and_is_narrowed(client_in):
    sae = sae_make()
    evaluation_finish(sae.evaluations.get())
    page = client_in.get(f"/saes/?language_model={sae.language_model_id}&architecture=topk").content.decode()
    assert ">0.33<" in page and ">95 %<" in page and "<polyline" in page
    assert "No SAE matches" in client_in.get("/saes/?architecture=standard").content.decode()


def test_an_evaluation_is_started_from_the_form(client_in):
    sae = sae_make()
    page = client_in.get(f"/saes/{sae.pk}/evaluate").content.decode()
    assert f'<option value="{sae.tokenization_id}" selected>' in page
    answer = client_in.post(f"/saes/{sae.pk}/evaluate", {"sae": sae.pk, "tokenization": sae.tokenization_id})
    assert answer.status_code == 302 and sae.evaluations.count() == 2


def test_an_evaluation_is_deleted_only_after_a_question(client_in):
    sae = sae_make()
    evaluation = sae.evaluations.get()
    evaluation_finish(evaluation)
    evaluation.jobs.update(state="succeeded")
    url = f"/saes/{sae.pk}/evaluations/{evaluation.pk}/delete"
    assert "cannot be undone" in client_in.get(url).content.decode()
    assert sae.evaluations.count() == 1
    assert client_in.post(url).url == sae.get_absolute_url()
    assert not sae.evaluations.exists()


def test_the_api_evaluates_on_the_tokenization_it_was_trained_on(client_in):
    sae = sae_make()
    answer = client_in.post(f"/api/v1/saes/{sae.pk}/evaluate", {"max_tokens": 500}, content_type=JSON)
    assert answer.status_code == 202 and answer.json()["url"] == f"/saes/{sae.pk}/"
    newest = sae.evaluations.first()
    assert newest.tokenization == sae.tokenization and newest.job.spec["max_tokens"] == 500


def test_one_sae_as_json(client_in):
    sae = sae_make()
    evaluation_finish(sae.evaluations.get())
    one = client_in.get(f"/api/v1/saes/{sae.pk}").json()
    assert one["encode"]["k"] == 4 and one["evaluation"]["fvu"] == 0.33 and one["hook_site"] == "3.resid_post"
    listed = client_in.get("/api/v1/saes").json()
    assert listed["total"] == 1 and listed["items"][0]["evaluation"]["ce_recovered"] == 0.95
    renamed = client_in.patch(f"/api/v1/saes/{sae.pk}", {"name": "new"}, content_type=JSON)
    assert renamed.json()["name"] == "new"
    assert client_in.delete(f"/api/v1/saes/{sae.pk}").json()["freed_bytes"] == 2
    assert client_in.get(f"/api/v1/saes/{sae.pk}").status_code == 404


def test_the_deletion_says_what_goes_along(client_in):
    sae = sae_make()
    evaluation_finish(sae.evaluations.get())
    assert "With it go 1 evaluation." in client_in.get(f"/saes/{sae.pk}/delete").content.decode()


def test_live_fragments_of_an_sae_and_its_evaluation():
    renderers_discover()
    sae = sae_make()
    evaluation = sae.evaluations.get()
    assert "Not measured yet" in fragment(f"saes/{sae.pk}")
    assert f'id="evaluation-{evaluation.pk}-state"' in fragment(evaluation.topic)
    evaluation_finish(evaluation)
    assert "0.33" in fragment(f"saes/{sae.pk}")
    pk, topic = sae.pk, evaluation.topic
    sae_delete(sae=sae)
    assert fragment(f"saes/{pk}") is None and fragment(topic) is None
