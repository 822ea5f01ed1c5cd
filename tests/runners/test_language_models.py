"""Runners of language models: quantization and look-ups in the rows, and downloads that outlive a failed try."""

import hashlib

import pytest

from apps.core.storage import data_path
from apps.jobs.models import Job
from apps.jobs.services import job_enqueue
from apps.jobs.states import State, Wish
from apps.language_models.models import LanguageModel, LanguageModelLookup
from apps.language_models.selectors import language_model_folder, language_model_json
from apps.language_models.services import language_model_check, language_model_lookup, language_model_quantize
from tests.apps.prepared import make_language_model
from workers.engine.language_models.checking import language_model_check as check
from workers.engine.progress import Progress
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.language_models import (
    LanguageModelCheckSpec,
    LanguageModelImportSpec,
    LanguageModelLookupResult,
    LanguageModelLookupSpec,
    LanguageModelQuantizeResult,
    LanguageModelQuantizeSpec,
)
from workers.runners.lm_memory import held_as, lm_weights_bytes
from workers.runners.registry import runner_for

pytestmark = pytest.mark.django_db
WHERE = {"job_dir": "jobs", "out_dir": "out", "device": "cpu"}


def test_quantizing_changes_how_a_ready_model_is_held_and_nothing_else():
    language_model = make_language_model()
    was_ready, layers = language_model.ready_at, language_model.report.get("layers")
    spec = LanguageModelQuantizeSpec(language_model=language_model.pk, quantization="nf4")
    language_model_quantize(spec=spec)
    job, runner = Job.objects.latest("pk"), runner_for("language_model_quantize")
    assert runner.prepare(job, spec, WHERE).model_dir == str(data_path("models", language_model.pk))
    runner.finish(job, spec, LanguageModelQuantizeResult(quantization="nf4", footprint_bytes=12_345), "out")
    language_model.refresh_from_db()
    assert (language_model.quantization, language_model.footprint_bytes) == ("nf4", 12_345)
    assert language_model.report["footprint_bytes"] == 12_345
    assert (language_model.ready_at, language_model.report.get("layers")) == (was_ready, layers)


def test_a_look_up_is_kept_in_its_row():
    spec = LanguageModelLookupSpec(repo_id="tiny/llama")
    lookup = language_model_lookup(spec=spec)
    runner = runner_for("language_model_lookup")
    runner.prepare(lookup.job, spec, WHERE)
    result = LanguageModelLookupResult(
        repo_id="tiny/llama",
        revision="c" * 40,
        licence="mit",
        gated=False,
        bytes=1,
        model_type="llama",
        architecture="LlamaForCausalLM",
        layers=4,
        d_model=32,
        d_mlp=64,
        vocab_size=408,
        max_context=128,
        parameters=63_264,
        linear_parameters=36_864,
        kv_width=128,
        dtype="float32",
    )
    runner.finish(lookup.job, spec, result, "out")
    lookup = LanguageModelLookup.objects.get(pk=lookup.pk)
    assert lookup.is_ready and lookup.report["parameters"] == 63_264


def test_rows_from_before_quantization_are_held_as_published():
    old = LanguageModel(dtype="bfloat16", parameters=1000)
    assert held_as(old) == "auto"
    assert lm_weights_bytes(old, "auto") == 4000
    assert lm_weights_bytes(old, "bfloat16") == 2000
    quantized = LanguageModel(parameters=1_000_000, quantization="nf4", report={"linear_parameters": 900_000})
    assert held_as(quantized) == "nf4"
    assert lm_weights_bytes(quantized, "auto") < 0.3 * 4_000_000


@pytest.fixture
def importing():
    """A model to come, whose first import failed with a file half arrived; returns it, that job and the runner."""
    language_model = LanguageModel.objects.create(name="m", source="hub", origin="tiny/llama")
    spec = LanguageModelImportSpec(repo_id="tiny/llama")
    first = job_enqueue(spec=spec, subject=language_model)
    Job.objects.filter(pk=first.pk).update(state=State.FAILED)
    half = data_path("jobs", first.pk, "download")
    half.mkdir(parents=True)
    (half / "model.safetensors.incomplete").write_bytes(b"half")
    return language_model, first, spec


def test_a_retry_takes_over_what_the_failed_try_downloaded(importing):
    language_model, first, spec = importing
    again = job_enqueue(spec=spec, subject=language_model)
    runner_for("language_model_import").prepare(again, spec, WHERE)
    assert (data_path("jobs", again.pk, "download") / "model.safetensors.incomplete").read_bytes() == b"half"
    assert not data_path("jobs", first.pk, "download").exists()


def test_a_failed_import_keeps_its_download_and_a_cancelled_one_does_not(importing):
    _, first, _ = importing
    runner = runner_for("language_model_import")
    runner.discard(first)
    assert data_path("jobs", first.pk, "download").exists()
    Job.objects.filter(pk=first.pk).update(wish=Wish.CANCEL)
    runner.discard(first)
    assert not data_path("jobs", first.pk, "download").exists()


def test_weights_that_are_found_again_are_noted_and_changed_ones_take_the_note_back():
    language_model = make_language_model()
    folder = language_model_folder(language_model.pk)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    language_model.weights_sha256 = hashlib.sha256(b"weights").hexdigest()
    language_model.save()
    language_model_check(spec=LanguageModelCheckSpec(language_model=language_model.pk))
    job, runner = Job.objects.latest("pk"), runner_for("language_model_check")
    inputs = runner.prepare(job, job.loaded_spec, WHERE)

    runner.finish(job, job.loaded_spec, check(job.loaded_spec, inputs, Progress()), "out")
    language_model.refresh_from_db()
    assert language_model_json(language_model)["weights_checked_at"]

    (folder / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(BadArtifact, match="no longer those that were imported"):
        check(job.loaded_spec, inputs, Progress())
    runner.discard(job)
    language_model.refresh_from_db()
    assert language_model_json(language_model)["weights_checked_at"] is None
