"""The jobs pages: what they show, what their buttons do, with and without htmx."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.storage import data_path
from apps.jobs.models import Job, JobEvent
from apps.jobs.templatetags.jobs import actions_of, progress_words
from tests.apps.prepared import make_tokenization
from workers.engine.specs.datasets import DatasetImportSpec
from workers.engine.specs.feature_language import FeatureLanguageSpec
from workers.engine.specs.features import FeatureRunSpec
from workers.engine.specs.steering import SteeredFeature, SteerSpec
from workers.engine.specs.training import TrainSpec

pytestmark = pytest.mark.django_db


def job_make(state="queued", kind="train", **values) -> Job:
    known = {"train": TrainSpec(activation_cache=1), "feature_run": FeatureRunSpec(sae=1, tokenization=1)}
    known["feature_language"] = FeatureLanguageSpec(run=1)
    spec = known.get(kind) or DatasetImportSpec(source="hub", repo_id="a/b")
    values = {"title": spec.TITLE, "priority": 50, "spec": spec.to_json(), "queue": spec.QUEUE, **values}
    return Job.objects.create(kind=kind, state=state, **values)


def test_pages_need_a_sign_in(client):
    assert client.get("/jobs/").status_code == 302


def test_an_empty_list_says_what_to_do_next(client_in):
    assert "No jobs yet" in client_in.get("/jobs/").content.decode()


def test_the_list_is_filtered_by_state_kind_and_words(client_in):
    job_make("failed", subject_name="alpha")
    job_make("running", kind="dataset_import", subject_name="beta")
    for query, there, gone in (
        ("state=failed", "alpha", "beta"),
        ("state=active", "beta", "alpha"),
        ("kind=dataset_import", "beta", "alpha"),
        ("q=alph", "alpha", "beta"),
    ):
        page = client_in.get(f"/jobs/?{query}").content.decode()
        assert there in page and gone not in page, query
    assert "No job matches" in client_in.get("/jobs/?q=gamma").content.decode()


def test_queued_jobs_show_their_place_and_what_they_wait_for(client_in):
    job_make(waits_for="cuda:0 is held by job 7")
    job_make()
    page = client_in.get("/jobs/").content.decode()
    assert "place 1" in page and "place 2" in page
    assert "cuda:0 is held by job 7" in page


def test_the_list_subscribes_to_its_active_rows_only(client_in):
    active, ended = job_make("running"), job_make("succeeded")
    page = client_in.get("/jobs/").content.decode()
    socket = page[page.index("ws-connect") :]
    assert f"topic=jobs%2F{active.pk}" in socket and f"topic=jobs%2F{ended.pk}" not in socket


def test_a_job_page_shows_history_by_attempt_error_settings_and_log(client_in):
    job = job_make(
        "failed", attempt=2, error_code="out_of_memory", error_message="No <room>.", error_hint="Go smaller."
    )
    JobEvent.objects.create(job=job, attempt=1, text="Started on cpu.")
    JobEvent.objects.create(job=job, attempt=2, level="error", text="Ended.")
    log = data_path("jobs", job.pk, "attempt-2", "log.txt")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("the last <line>")
    page = client_in.get(job.get_absolute_url()).content.decode()
    for words in (
        "Attempt 1",
        "Attempt 2",
        "No &lt;room&gt;.",
        "Go smaller.",
        "Learning rate",
        "the last &lt;line&gt;",
    ):
        assert words in page, words


def test_settings_without_meaning_for_the_choice_are_left_out(client_in):
    page = client_in.get(job_make().get_absolute_url()).content.decode()
    assert "AuxK coefficient" in page and "L1 coefficient" not in page


def test_a_missing_job_is_a_404_page(client_in):
    assert client_in.get("/jobs/999/").status_code == 404


@pytest.mark.parametrize(
    ("state", "kind", "names"),
    [
        ("running", "train", ["pause", "checkpoint", "finish", "cancel"]),
        ("running", "feature_run", ["pause", "checkpoint", "finish", "cancel"]),
        ("running", "feature_language", ["pause", "checkpoint", "cancel"]),
        ("running", "dataset_import", ["cancel"]),
        ("queued", "train", ["cancel"]),
        ("paused", "train", ["resume", "cancel"]),
        ("stopping", "train", ["cancel"]),
        ("failed", "train", ["retry"]),
        ("succeeded", "train", []),
    ],
)
def test_buttons_offer_what_the_state_allows(state, kind, names):
    assert [action.name for action in actions_of(job_make(state, kind))] == names


def test_cancel_without_scripts_returns_to_the_job(client_in):
    job = job_make()
    assert client_in.post(f"/jobs/{job.pk}/cancel").url == job.get_absolute_url()
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_cancel_with_htmx_answers_the_new_card(client_in):
    job = job_make()
    card = client_in.post(f"/jobs/{job.pk}/cancel", headers={"HX-Request": "true"}).content.decode()
    assert f'id="job-{job.pk}"' in card and "cancelled" in card and "<html" not in card


def test_an_action_that_comes_too_late_is_refused_in_words(client_in):
    answer = client_in.post(f"/jobs/{job_make('succeeded').pk}/pause", headers={"HX-Request": "true"})
    assert answer.status_code == 409 and "error-card" in answer.content.decode()


def test_a_retry_leads_to_the_new_job(client_in):
    job = job_make("failed")
    answer = client_in.post(f"/jobs/{job.pk}/retry", headers={"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == Job.objects.latest("id").get_absolute_url() != job.get_absolute_url()


def test_a_get_changes_nothing(client_in):
    assert client_in.get(f"/jobs/{job_make().pk}/cancel").status_code == 405


def test_the_place_of_a_queued_job_can_be_changed(client_in):
    job = job_make()
    client_in.post(f"/jobs/{job.pk}/priority", {"priority": "3"})
    job.refresh_from_db()
    assert job.priority == 3
    assert client_in.post(f"/jobs/{job.pk}/priority", {"priority": "first"}).status_code == 400


def test_progress_is_told_in_words():
    job = job_make("running", phase="tokenizing", done=41_200, total=100_000, unit="rows")
    job.phase_started_at = timezone.now() - timedelta(seconds=120)
    assert progress_words(job) == "tokenizing 41,200 / 100,000 rows, 2 min 51 s left"
    assert progress_words(job_make(waits_for="room on cuda:0")) == "waiting: room on cuda:0"


def test_options_that_refer_to_several_rows_link_to_each_and_plain_lists_are_said_in_full(client_in):
    first, second = make_tokenization(), make_tokenization()
    spec = TrainSpec(
        source="text", language_model=first.language_model_id, tokenization=first.pk,
        more_tokenizations=(second.pk, 999), hook_sites=("0.resid_post", "1.resid_post"), sweep_d_sae=(4096, 8192),
    )  # fmt: skip
    page = client_in.get(job_make(spec=spec.to_json()).get_absolute_url())
    assert page.status_code == 200
    rows = {row.name: row for row in page.context["options"]}
    assert rows["more_tokenizations"].rows == (second,)
    assert rows["hook_sites"].words == "0.resid_post, 1.resid_post"
    assert rows["sweep_d_sae"].words == "4,096, 8,192"
    assert f'href="{second.get_absolute_url()}"' in page.text
    assert "('0.resid_post'" not in page.text


def test_steered_features_are_said_as_they_are_typed(client_in):
    features = (SteeredFeature(index=1_234_567, strength=3.0), SteeredFeature(index=4, strength=-0.5))
    spec = SteerSpec(sae=1, features=features, prompt="The weather")
    job = job_make(kind="steer", spec=spec.to_json())
    page = client_in.get(job.get_absolute_url())
    words = {row.name: row.words for row in page.context["options"]}
    assert words["features"] == "1234567:3, 4:-0.5"


def test_a_page_counts_the_active_jobs_once(client_in):
    client_in.get("/jobs/")
    with CaptureQueriesContext(connection) as asked:
        page = client_in.get("/datasets/").text
    assert page.count('id="jobs-active-') == 2
    assert sum("COUNT" in query["sql"] and "jobs_job" in query["sql"] for query in asked) == 1
