"""What a feature run will read, how long it may take, and what is refused before it starts."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.features.plans import feature_run_plan
from apps.jobs.models import Job
from tests.apps.features.worlds import finished_run_make, run_make, sae_make
from workers.engine.specs.features import FeatureRunSpec

pytestmark = pytest.mark.django_db


@pytest.fixture
def sae():
    made = sae_make()
    made.tokenization.train_tokens, made.tokenization.heldout_tokens = 9_000, 1_000
    made.tokenization.save()
    return made


def spec_of(sae, **options) -> FeatureRunSpec:
    return FeatureRunSpec(sae=sae.pk, tokenization=sae.tokenization_id, **options)


def run_ended(sae, *, tokens: int, seconds: float):
    """A run that has read so many tokens in so many seconds."""
    run = finished_run_make(sae)
    run.tokens = tokens
    run.save()
    at = timezone.now()
    Job.objects.filter(pk=run.job.pk).update(started_at=at, ended_at=at + timedelta(seconds=seconds))
    return run


def test_it_reads_what_the_text_has_and_no_more_than_is_asked(sae):
    assert feature_run_plan(spec_of(sae)).tokens == 10_000
    assert feature_run_plan(spec_of(sae, max_tokens=2_000)).tokens == 2_000
    assert feature_run_plan(spec_of(sae, first_context=500)).tokens == 10_000 - 500 * 16
    assert feature_run_plan(spec_of(sae, first_context=5_000)).tokens == 0


def test_the_time_goes_with_tokens_and_with_the_blocks_below_the_sae(sae):
    assert feature_run_plan(spec_of(sae)).seconds is None
    run = run_ended(sae, tokens=5_000, seconds=40)
    plan = feature_run_plan(spec_of(sae))
    assert plan.like == run and plan.seconds == pytest.approx(80)
    type(sae).objects.filter(pk=sae.pk).update(layer=3)
    run.sae.refresh_from_db()
    deeper = feature_run_plan(spec_of(sae))
    assert deeper.seconds == pytest.approx(80)  # the run before was as deep
    other = sae_make()
    other.language_model = sae.language_model
    other.layer = 1
    other.save()
    above = feature_run_plan(FeatureRunSpec(sae=other.pk, tokenization=sae.tokenization_id))
    assert above.seconds == pytest.approx(40)  # two blocks in place of four


def test_the_form_tells_it_while_it_is_filled_in(client_in, sae):
    url = reverse("features:estimate")
    known = {name: value for name, value in spec_of(sae).to_json().items() if value not in (None, (), [], False)}
    page = client_in.post(url, known).content.decode()
    assert "Reads" in page and "10,000" in page and "once a run on this language model has ended" in page
    run_ended(sae, tokens=5_000, seconds=40)
    assert "1 min 20 s" in client_in.post(url, known).content.decode()
    assert client_in.post(url, {}).content.decode().strip() == ""


def test_the_form_says_at_once_what_would_be_refused(client_in, sae):
    run_make(sae)
    known = {name: value for name, value in spec_of(sae).to_json().items() if value not in (None, (), [], False)}
    assert "already finds the features" in client_in.post(reverse("features:estimate"), known).content.decode()
