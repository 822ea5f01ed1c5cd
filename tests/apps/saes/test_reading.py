"""Results that were read otherwise than their SAE was trained say so, wherever they are shown."""

import json
from io import StringIO

import pytest
from django.urls import reverse

from apps.core.storage import data_path
from apps.jobs.models import Job
from apps.saes.management.commands.evaluate import Command
from apps.saes.models import Evaluation
from apps.saes.reading import reading_notes, trained_as
from tests.apps.features.ablation_worlds import ablation_make
from tests.apps.features.worlds import finished_run_make, sae_make, tried_make
from tests.apps.steering.worlds import finished_experiment_make
from workers.engine.specs.read_as import ReadAs

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
TRAINED = ReadAs(lm_dtype="float32", quantization="bf16", context_length=128)
OTHERWISE = ReadAs(lm_dtype="bfloat16", quantization="nf4", context_length=512)
PRECISION = (
    "The language model was read in bfloat16, weights held as 4-bit (bitsandbytes, nf4 with double quantization); the SAE was "
    "trained on float32, weights held as bfloat16: its numbers are not those of the training."
)
LENGTH = "Contexts of 512 tokens are longer than the 128 tokens it was trained on: further on it reconstructs less."


@pytest.fixture
def sae():
    """Trained as TRAINED, with a feature run."""
    sae = sae_make()
    data_path("saes", sae.pk).mkdir(parents=True, exist_ok=True)
    record = {"effective": {"lm_dtype": "float32", "quantization": "bf16"}, "inputs": {"context_size": 128}}
    (data_path("saes", sae.pk) / "provenance.json").write_text(json.dumps(record))
    finished_run_make(sae)
    return sae


def read_otherwise(row, read_as=OTHERWISE):
    row.report = {**row.report, "read_as": read_as.to_json()}
    row.save(update_fields=["report"])
    return row


def evaluation_make(sae):
    numbers = {
        "tokens": 100,
        "fvu": 0.3,
        "fvu_with_sinks": 0.1,
        "l0": 4.0,
        "dead_share": 0.5,
        "ce_recovered": 0.9,
        "report": {"fvu_as_trained": 0.23},
    }
    row = Evaluation.objects.create(sae=sae, tokenization=sae.tokenization, ready_at=sae.created_at, **numbers)
    return read_otherwise(row), sae.get_absolute_url(), f"/api/v1/saes/{sae.pk}"


def run_make(sae):
    run = read_otherwise(sae.feature_runs.get())
    return run, reverse("features:list", args=[sae.pk]), reverse("api:feature-run", args=[run.pk])


def experiment_make(sae):
    row = read_otherwise(finished_experiment_make(sae))
    return row, row.get_absolute_url(), f"/api/v1/steering/experiments/{row.pk}"


def tried_text_make(sae):
    row = read_otherwise(tried_make(sae, is_ready=True))
    return row, row.get_absolute_url(), reverse("api:tried-text", args=[row.pk])


def ablated_make(sae):
    row = read_otherwise(ablation_make(sae, is_ready=True))
    feature = reverse("features:detail", args=[sae.pk, 5])
    return row, feature, f"/api/v1/features/{row.feature_id}/ablation"


@pytest.mark.parametrize("make", [evaluation_make, run_make, experiment_make, tried_text_make, ablated_make])
def test_pages_and_json_say_where_the_reading_was_not_the_trainings(client_in, sae, make):
    row, page, api = make(sae)
    text = client_in.get(page).text
    assert PRECISION in text and LENGTH in text
    answer = client_in.get(api).json()
    assert (answer.get("evaluation") or answer)["notes"] == [PRECISION, LENGTH]
    read_otherwise(row, TRAINED)
    assert "reconstructs less" not in client_in.get(page).text and "not those of" not in client_in.get(page).text


def test_a_page_with_fvu_beyond_the_trained_context_shows_that_within_it_too(client_in, sae):
    evaluation_make(sae)
    assert "0.23 within the length of its training" in client_in.get(sae.get_absolute_url()).text


def test_what_nobody_knows_is_not_compared(sae):
    assert reading_notes(sae, {}) == []
    assert ReadAs(lm_dtype="bfloat16", context_length=128).differences(ReadAs(quantization="nf4")) == ()


def test_without_a_record_the_tokenization_tells_the_context(sae):
    (data_path("saes", sae.pk) / "provenance.json").unlink()
    assert trained_as(sae) == ReadAs(context_length=16)


def test_the_command_says_it_too(sae):
    row, _, _ = evaluation_make(sae)
    out = StringIO()
    Command(stdout=out).show(Job(subject_id=row.pk))
    assert LENGTH in out.getvalue()
