"""The page, endpoint, command and runner of trying a text."""

import json
import re

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from apps.core.errors import AppError, NotFound
from apps.features.models import TriedText
from apps.features.services import feature_label_set
from apps.features.trying import services
from apps.jobs.models import Job
from tests.apps.features.worlds import finished_run_make, sae_make, tried_make, try_result_make
from workers.engine.specs.try_text import TryTextSpec
from workers.runners.try_text import TryTextRunner

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def page(client, sae, **query):
    return client.get(reverse("features:try"), {"sae": sae.pk, **query})


def test_the_page_without_an_sae_says_what_to_do(client_in):
    assert "There is no SAE yet" in client_in.get(reverse("features:try")).text


def test_reading_a_text_answers_with_its_job_and_the_pages_new_address(client_in, sae):
    answer = client_in.post(
        reverse("features:try"),
        {
            "sae": sae.pk,
            "text": "The wind",
            "features_listed": 20,
            "per_token": 5,
            "rank_by": "max",
            "lm_dtype": "auto",
            "device": "auto",
        },
        headers=HTMX,
    )
    tried = TriedText.objects.get()
    assert answer.headers["HX-Push-Url"] == tried.get_absolute_url() == f"/features/try/{tried.pk}/"
    assert "Reading" in answer.text and tried.topic in answer.text
    assert (tried.job.kind, tried.job.queue) == ("try_text", "steer")


def test_a_feature_page_tests_a_text_on_its_feature_and_keeps_its_address(client_in, sae):
    text = client_in.get(sae.features.get(index=3).get_absolute_url()).text
    assert 'name="watched" value="3"' in text and 'data-key="t"' in text
    judged = client_in.get(sae.features.get(index=3).get_absolute_url(), {"labels": "hidden"}).text
    assert 'id="test-box"' not in judged, "its answer names labels"
    values = {"sae": sae.pk, "watched": "3", "features_listed": "5", "here": "1", "text": "The wind"}
    answer = client_in.post(reverse("features:try"), values, headers=HTMX)
    assert "HX-Push-Url" not in answer.headers and "Reading" in answer.text
    tried = TriedText.objects.get()
    assert tried.job.loaded_spec == TryTextSpec(sae=sae.pk, text="The wind", watched=(3,), features_listed=5)
    without_script = client_in.post(reverse("features:try"), values)
    assert without_script.headers["Location"] == tried.get_absolute_url()
    TryTextRunner().finish(tried.job, tried.job.loaded_spec, try_result_make(), "")
    Job.objects.filter(pk=tried.job.pk).update(state="succeeded")
    assert "Feature 3, then the others, strongest first" in client_in.get(without_script.headers["Location"]).text


def test_the_page_of_a_tried_text_fills_the_form_as_it_was_sent_and_no_address_holds_the_text(client_in, sae):
    tried = services.text_try(
        spec=TryTextSpec(sae=sae.pk, text="The wind", other="The sun", watched=(3, 1), per_token=9)
    )
    assert tried.get_absolute_url() == f"/features/try/{tried.pk}/"
    shown = client_in.get(tried.get_absolute_url())
    form = shown.context["form"]
    assert [form[name].value() for name in ("text", "other", "per_token")] == ["The wind", "The sun", 9]
    assert 'value="3, 1"' in shown.text and tried.topic in shown.text
    assert not re.findall(r"""(?:href|action|data-copy-address)=["'][^"']*wind""", shown.text)


def test_a_text_in_an_address_is_not_taken_but_other_options_are(client_in, sae):
    form = page(client_in, sae, text="The wind", other="x", watched="3").context["form"]
    assert [form[name].value() for name in ("text", "other", "watched")] == [None, "", "3"]
    assert not TriedText.objects.exists()


def test_a_text_that_was_forgotten_is_not_found(client_in, sae):
    assert client_in.get("/features/try/7/").status_code == 404


def test_no_text_is_refused_in_words(client_in, sae):
    values = {
        "sae": sae.pk,
        "text": "  ",
        "features_listed": 20,
        "per_token": 5,
        "rank_by": "max",
        "lm_dtype": "auto",
        "device": "auto",
    }
    assert 'role="alert"' in client_in.post(reverse("features:try"), values, headers=HTMX).text
    assert client_in.post(reverse("features:try"), values).status_code == 422
    assert not TriedText.objects.exists()


def test_a_text_that_was_read_is_shown_with_its_answer(client_in, sae):
    feature_label_set(feature=sae.features.get(index=5), label="weather", category="")
    tried = tried_make(sae, is_ready=True)
    text = client_in.get(tried.get_absolute_url()).text
    assert "2</data> of" in text and "weather" in text and "read in 0.2 s" in text.replace("0.3", "0.2")
    assert f"/features/sae/{sae.pk}/5/" in text and "not read" in text and "none fires" in text
    assert "Change" not in text


def test_two_texts_show_what_appears_vanishes_and_changes(client_in, sae):
    text = client_in.get(tried_make(sae, other="The sun", is_ready=True).get_absolute_url()).text
    assert "vanishes" in text and "rises" in text and "Features, largest change first" in text


def test_the_same_question_is_not_read_twice_but_another_is(client_in, sae):
    tried = tried_make(sae, is_ready=True)
    common = {
        "sae": sae.pk,
        "features_listed": 20,
        "per_token": 5,
        "rank_by": "max",
        "lm_dtype": "auto",
        "device": "auto",
    }
    client_in.post(reverse("features:try"), {**common, "text": "The wind"}, headers=HTMX)
    assert TriedText.objects.get() == tried
    client_in.post(reverse("features:try"), {**common, "text": "The wind", "per_token": 9}, headers=HTMX)
    assert TriedText.objects.count() == 2


def test_a_failed_reading_is_explained(client_in, sae):
    tried = tried_make(sae)
    Job.objects.filter(pk=tried.job.pk).update(state="failed", error_message="The text has 9,999 tokens.")
    from apps.features.live import tried_text

    assert "The text has 9,999 tokens." in tried_text(str(tried.pk))


def test_texts_go_after_a_day(sae):
    old = tried_make(sae, is_ready=True)
    TriedText.objects.filter(pk=old.pk).update(created_at=timezone.now() - timezone.timedelta(days=2))
    fresh = tried_make(sae, other="The sun")
    assert list(TriedText.objects.all()) == [fresh]


def test_an_unknown_sae_is_not_found():
    with pytest.raises(NotFound):
        services.text_try(spec=TryTextSpec(sae=99, text="The wind"))


def test_a_text_under_way_is_not_deleted(sae):
    tried = tried_make(sae)
    with pytest.raises(AppError):
        services.tried_text_delete(tried=tried)


def test_the_endpoint_starts_a_reading_and_shows_its_answer(client_in, sae):
    body = {"sae": sae.pk, "text": "The wind", "other": "The sun"}
    started = client_in.post("/api/v1/features/try", json.dumps(body), content_type="application/json")
    tried = TriedText.objects.get()
    assert started.status_code == 202 and started.json()["url"] == f"/api/v1/features/tried/{tried.pk}"
    assert client_in.get(f"/api/v1/features/tried/{tried.pk}").json()["answer"] is None
    TryTextRunner().finish(tried.job, tried.job.loaded_spec, try_result_make(compared=True), "")
    answer = client_in.get(f"/api/v1/features/tried/{tried.pk}").json()
    assert answer["ready"] and answer["answer"]["features"][0]["index"] == 5
    Job.objects.filter(pk=tried.job.pk).update(state="succeeded")
    assert client_in.delete(f"/api/v1/features/tried/{tried.pk}").json()["deleted"] == tried.pk
    assert client_in.get(f"/api/v1/features/tried/{tried.pk}").status_code == 404


def test_the_command_prints_what_each_feature_does(sae, capsys, monkeypatch):
    from apps.features.management.commands import try_text as command

    def finished(job, **_):
        tried = TriedText.objects.get(pk=job.subject_id)
        TryTextRunner().finish(job, job.loaded_spec, try_result_make(compared=True), "")
        return tried.job

    monkeypatch.setattr(command.SpecCommand, "follow", lambda self, job, **known: finished(job))
    call_command("try_text", sae=sae.pk, text="The wind", other="The sun", wait=True)
    printed = capsys.readouterr().out
    assert "5  4 at ·wind → silent  vanishes" in printed and "2  1 at ·wind → 2 at ·sun  rises" in printed


def test_prepare_names_the_folders_and_the_estimate_grows_with_the_sae(sae):
    tried = tried_make(sae)
    where = {"job_dir": "j", "out_dir": "o", "device": "cpu"}
    inputs = TryTextRunner().prepare(tried.job, tried.job.loaded_spec, where)
    assert inputs.run_dir.endswith(f"features/{sae.feature_runs.get().pk}")
    assert inputs.sae_dir.endswith(f"saes/{sae.pk}") and inputs.model_dir.endswith(f"models/{sae.language_model_id}")
    large = sae_make(d_sae=60)
    small, larger = (TryTextRunner().memory_bytes(TryTextSpec(sae=pk, text="x")) for pk in (sae.pk, large.pk))
    assert 0 < small < larger
