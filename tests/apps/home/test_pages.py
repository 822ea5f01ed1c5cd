"""The start page: empty, half way, full."""

import re

import pytest
from django.utils import timezone

from apps.activations.models import ActivationCache
from apps.datasets.models import Dataset
from apps.home.selectors import next_step, pipeline
from apps.jobs.models import Job
from apps.saes.models import Sae
from apps.training.models import TrainingRun
from tests.apps.features.worlds import finished_run_make, language_model_make, run_make, sae_make, tokenization_make
from tests.apps.prepared import job_about, make_dataset
from tests.apps.steering.worlds import finished_experiment_make

pytestmark = pytest.mark.django_db


def step():
    found = next_step(pipeline())
    return found and found.url


def cache_make(tokenization):
    return ActivationCache.objects.create(
        tokenization=tokenization,
        language_model=tokenization.language_model,
        layer=1,
        site="resid_post",
        d_in=4,
        ready_at=timezone.now(),
    )


def training_make(cache):
    return TrainingRun.objects.create(
        language_model=cache.language_model,
        tokenization=cache.tokenization,
        name="Run",
        activation_cache=cache,
        spec={},
        architecture="topk",
        d_sae=6,
        steps=1,
        ready_at=timezone.now(),
    )


def test_the_empty_studio_begins_with_text(client_in):
    text = client_in.get("/").text
    assert "Import a dataset" in text and "/datasets/new/" in text
    assert text.count('<li data-state="empty">') == 8
    assert "Newest SAEs" not in text


def test_each_stop_leads_to_the_next_with_what_is_there():
    Dataset.objects.create(name="Stories", source="file", origin="here", ready_at=timezone.now())
    assert step() == "/language-models/new/"
    model = language_model_make()
    assert re.fullmatch(rf"/datasets/\d+/tokenize/\?language_model={model.pk}", step())
    tokenization = tokenization_make(model)
    assert step() == f"/activations/new/?tokenization={tokenization.pk}&language_model={model.pk}"
    cache = cache_make(tokenization)
    assert step() == f"/training/new/?activation_cache={cache.pk}"
    training_make(cache)
    assert step() == "/training/"


def test_after_an_sae_come_its_features_and_then_steering():
    sae = sae_make()
    training_make(cache_make(sae.tokenization))
    assert step() == f"/features/new/?sae={sae.pk}&tokenization={sae.tokenization_id}"
    finished_run_make(sae)
    assert step() == f"/steering/new/?sae={sae.pk}&f=1%3A0.3"


def test_while_a_stop_is_being_filled_nothing_else_is_asked_for():
    job_about(make_dataset(is_ready=False))
    assert step() is None


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_what_failed_does_not_come_and_is_asked_for_again(client_in, state):
    job = job_about(make_dataset(is_ready=False))
    assert "1 to come" in client_in.get("/").text
    Job.objects.filter(pk=job.pk).update(state=state)
    assert "to come" not in client_in.get("/").text
    assert step() == "/datasets/new/"


def test_what_is_made_again_counts_once():
    job_about(make_dataset())
    assert (pipeline()[0].ready, pipeline()[0].waiting) == (1, 0)


def test_a_full_pipeline_points_at_an_sae_without_features_or_at_another_run():
    sae = sae_make()
    cache = cache_make(sae.tokenization)
    training_make(cache)
    finished_run_make(sae)
    finished_experiment_make(sae)
    assert step() == f"/training/new/?activation_cache={cache.pk}"
    bare = sae_make()
    assert step() == f"/features/new/?sae={bare.pk}&tokenization={bare.tokenization_id}"
    run_make(bare)
    assert step() == f"/training/new/?activation_cache={cache.pk}"


def test_the_full_page_shows_jobs_saes_and_starred_features(client_in, django_assert_max_num_queries):
    sae = sae_make()
    finished_run_make(sae)
    sae.features.filter(index=3).update(is_starred=True, label="<b>bold</b>")
    _, job, _ = run_make(sae)
    with django_assert_max_num_queries(45):
        text = client_in.get("/").text
    assert f'id="job-{job.pk}"' in text and "Tiny SAE" in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text and "<b>bold" not in text


def test_more_saes_do_not_mean_more_queries(client_in, django_assert_num_queries):
    for _ in range(2):
        sae_make()
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as few:
        client_in.get("/")
    for _ in range(3):
        sae_make()
    with CaptureQueriesContext(connection) as many:
        client_in.get("/")
    assert Sae.objects.count() == 5 and len(many) == len(few)


def test_strangers_are_sent_to_the_sign_in(client):
    assert client.get("/").status_code == 302
