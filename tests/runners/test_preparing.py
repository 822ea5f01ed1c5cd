"""Runners of imports, tokenization and activation caches: what the child is told, and what its numbers become."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from apps.activations.services import activation_cache_create
from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.datasets.models import Dataset, Tokenization
from apps.datasets.rows import rows_page
from apps.datasets.services import dataset_import, row_mark
from apps.datasets.tokenization_services import tokenization_create
from apps.jobs.states import State
from apps.language_models.services import language_model_import
from tests.apps.prepared import make_dataset, make_language_model, make_tokenization
from workers.engine.specs.activations import ActivationCacheResult, ActivationCacheSpec
from workers.engine.specs.datasets import DatasetImportSpec
from workers.engine.specs.language_models import HookSiteWidth, LanguageModelImportResult, LanguageModelImportSpec
from workers.engine.specs.tokenization import EditedRow, TokenizeResult, TokenizeSpec
from workers.runners.registry import runner_for
from workers.supervisor.foreground import supervise_here


def where(job) -> dict[str, str]:
    return {"job_dir": "jobs", "out_dir": str(draft_make(job)), "device": "cpu"}


def draft_make(job):
    draft = data_path("tmp", f"job-{job.pk}")
    draft.mkdir(parents=True, exist_ok=True)
    (draft / "made.bin").write_bytes(b"made")
    return draft


def finish(subject, result) -> None:
    """Let the runner of the subject's job finish, as the supervisor does."""
    job = subject.job
    runner_for(job.kind).finish(job, job.loaded_spec, result, str(draft_make(job)))
    subject.refresh_from_db()


def token_numbers() -> TokenizeResult:
    return TokenizeResult(
        contexts=9,
        heldout_contexts=2,
        documents=3,
        heldout_documents=1,
        tokens=140,
        heldout_tokens=30,
        dropped_rows={"excluded": 1, "empty": 0, "cleaned": 0, "short": 0, "junk": 0},
        document_tokens=80,
        join_tokens=2,
        bos_tokens=11,
        repeated_tokens=0,
        filtered_tokens=0,
        truncated_tokens=0,
        dropped_tokens=5,
        dropped_document_tokens=0,
        duplicate_documents=0,
        bos_token_id=0,
        eos_token_id=1,
        vocab_size=8,
        distinct_tokens=6,
        tokenizer_sha256="t" * 64,
        tokens_sha256="k" * 64,
        bytes=352,
        edited_rows=1,
    )


@pytest.mark.django_db
def test_tokenization_is_told_what_the_curator_left_out_and_replaced():
    dataset, language_model = make_dataset(), make_language_model()
    row_mark(dataset=dataset, row=0, excluded=True, text="never used")
    row_mark(dataset=dataset, row=2, text="It was light.")
    row_mark(dataset=dataset, row=1, tags="odd")
    tokenization = tokenization_create(spec=TokenizeSpec(dataset=dataset.pk, language_model=language_model.pk))
    job = tokenization.job
    inputs = runner_for("tokenize").prepare(job, job.loaded_spec, where(job))
    assert inputs.excluded_rows == (0,)
    assert inputs.edited_rows == (EditedRow(row=2, text="It was light."),)
    assert inputs.text_column == "text"
    assert inputs.dataset_dir == str(data_path("datasets", dataset.pk))
    assert type(inputs).from_json(json.loads(json.dumps(inputs.to_json()))) == inputs


@pytest.mark.django_db
def test_a_tokenization_becomes_ready_with_its_numbers_and_its_folder():
    spec = TokenizeSpec(dataset=make_dataset().pk, language_model=make_language_model().pk, context_length=16)
    tokenization = tokenization_create(spec=spec)
    finish(tokenization, token_numbers())
    assert tokenization.is_ready
    assert (tokenization.train_tokens, tokenization.heldout_tokens, tokenization.tokens) == (140, 30, 170)
    assert tokenization.report["edited_rows"] == 1
    assert (data_path("tokenizations", tokenization.pk) / "made.bin").exists()


@pytest.mark.django_db
def test_a_language_model_becomes_ready_with_its_numbers(tmp_path):
    language_model = language_model_import(spec=LanguageModelImportSpec(source="folder", path=str(tmp_path)))
    job = language_model.job
    inputs = runner_for("language_model_import").prepare(job, job.loaded_spec, where(job))
    assert inputs.path == str(tmp_path.resolve())
    result = LanguageModelImportResult(
        model_type="llama",
        architecture="LlamaForCausalLM",
        layers=2,
        d_model=32,
        d_mlp=64,
        heads=4,
        vocab_size=400,
        max_context=128,
        parameters=40_000,
        dtype="float32",
        bytes=160_000,
        hook_sites=(HookSiteWidth(layer=0, site="resid_post", width=32, module="model.layers.0 out"),),
        modules=(),
        licence="mit",
        tokenizer_sha256="t" * 64,
    )
    finish(language_model, result)
    assert language_model.is_ready
    assert (language_model.layers, language_model.parameters, language_model.licence) == (2, 40_000, "mit")
    assert language_model.report["hook_sites"][0]["width"] == 32


@pytest.mark.django_db
def test_an_activation_cache_becomes_ready_with_what_was_left_out():
    tokenization = make_tokenization()
    sites = tokenization.language_model.report["hook_sites"]
    sites += [{"layer": 1, "site": site, "width": 32, "module": ""} for site in ("mlp_in", "mlp_out")]
    tokenization.language_model.save()
    second = make_tokenization(dataset=tokenization.dataset, language_model=tokenization.language_model)
    spec = ActivationCacheSpec(
        tokenization=tokenization.pk,
        more_tokenizations=(second.pk,),
        language_model=tokenization.language_model_id,
        layer=1,
        site="mlp_in",
        is_paired=True,
    )
    cache = activation_cache_create(spec=spec)
    job = cache.job
    inputs = runner_for("activation_cache").prepare(job, spec, where(job))
    assert inputs.tokenization_dirs == tuple(str(data_path("tokenizations", t.pk)) for t in (tokenization, second))
    assert inputs.model_dir == str(data_path("models", tokenization.language_model_id))
    result = ActivationCacheResult(
        tokens=80,
        tokens_run=96,
        contexts=12,
        first_positions=12,
        sink_tokens=4,
        sink_threshold=10.0,
        median_norm=2.0,
        mean_norm=2.5,
        d_in=32,
        lm_dtype="float32",
        tokens_per_s=1000.0,
        bytes=5120,
        activations_sha256="a" * 64,
        d_out=32,
    )
    finish(cache, result)
    assert cache.is_ready and cache.is_paired and cache.report["d_out"] == 32
    assert (cache.tokens, cache.d_in, cache.sink_threshold, cache.mean_norm) == (80, 32, 10.0, 2.5)


@pytest.mark.django_db
def test_a_second_finish_replaces_the_artifact_of_the_first():
    spec = TokenizeSpec(dataset=make_dataset().pk, language_model=make_language_model().pk)
    tokenization = tokenization_create(spec=spec)
    finish(tokenization, token_numbers())
    finish(tokenization, replace(token_numbers(), contexts=10))
    assert tokenization.contexts == 10
    assert [file.name for file in data_path("tokenizations", tokenization.pk).iterdir()] == ["made.bin"]


@pytest.mark.django_db
@pytest.mark.parametrize("gone", ["subject", "reference", "path"])
def test_what_is_gone_meanwhile_stops_the_job_before_its_child_starts(tmp_path, gone):
    if gone == "path":
        source = tmp_path / "texts.txt"
        source.write_text("Some text.")
        subject = dataset_import(spec=DatasetImportSpec(source="file", path=str(source)))
        source.unlink()
    else:
        dataset = make_dataset()
        spec = TokenizeSpec(dataset=dataset.pk, language_model=make_language_model().pk)
        subject = tokenization_create(spec=spec)
    job = subject.job
    if gone == "subject":
        Tokenization.objects.all().delete()
    if gone == "reference":
        Dataset.objects.update(ready_at=None)
    with pytest.raises(AppError) as refused:
        runner_for(job.kind).prepare(job, job.loaded_spec, where(job))
    assert refused.value.code == {"subject": "subject_gone", "reference": "not_ready", "path": "path_missing"}[gone]


@pytest.mark.django_db(transaction=True)
def test_a_real_child_imports_a_parquet_file_whose_rows_are_then_shown(tmp_path):
    table = pa.table({"id": range(250), "text": [f"Row {n} of the text.\0" for n in range(250)]})
    pq.write_table(table, tmp_path / "texts.parquet")
    dataset = dataset_import(spec=DatasetImportSpec(source="file", path=str(tmp_path / "texts.parquet"), row_cap=220))
    supervise_here(dataset.job)
    dataset.refresh_from_db()
    assert dataset.job.state == State.SUCCEEDED, dataset.job.error_traceback
    assert (dataset.rows, dataset.text_column, dataset.report["nul_rows"]) == (220, "text", 220)
    assert rows_page(dataset, 3).rows[-1].cells[0].text == "Row 219 of the text."


@pytest.mark.django_db(transaction=True)
def test_a_real_child_that_fails_leaves_the_dataset_unready_with_its_words(tmp_path):
    (tmp_path / "texts.jsonl").write_text("{not json")
    dataset = dataset_import(spec=DatasetImportSpec(source="file", path=str(tmp_path / "texts.jsonl")))
    supervise_here(dataset.job)
    dataset.refresh_from_db()
    assert not dataset.is_ready
    assert (dataset.job.state, dataset.job.error_code) == (State.FAILED, "bad_artifact")
    assert "line 1" in dataset.job.error_message
    assert not list(data_path("tmp").glob(f"job-{dataset.job.pk}-*"))
