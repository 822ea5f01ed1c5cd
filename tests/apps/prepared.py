"""Rows and small files of what a researcher prepares: datasets, language models, tokenizations, activation caches."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from django.utils import timezone
from safetensors.numpy import save_file

from apps.activations.models import ActivationCache
from apps.core.storage import data_path
from apps.datasets.models import Dataset, Tokenization, TokenPreview
from apps.jobs.models import Job
from apps.jobs.services import job_enqueue
from apps.language_models.models import LanguageModel
from workers.engine.specs.activations import ActivationCacheSpec
from workers.engine.specs.datasets import DatasetImportSpec
from workers.engine.specs.language_models import LanguageModelImportSpec
from workers.engine.specs.tokenization import PreviewRow, TokenizeSpec, TokenPreviewResult, TokenPreviewSpec
from workers.engine.text.spelling import FIRST_TOKEN_KEY, SPELLING_KEY, FirstToken, Spelling, TokenScheme

BYTE_LEVEL = Spelling(TokenScheme.BYTE_LEVEL)
NO_TOKEN_PUT = FirstToken(0, False)
VOCABULARY = ["<s>", "</s>", "The", "Ġcat", "Ġsat", "<b>", "Ċ", "Ġon"]
CONTEXT_LENGTH = 8
SITES = (("resid_pre", 32), ("resid_post", 32), ("mlp_out", 32))
LAYERS = 2


def rows_write(folder: Path, table: pa.Table, *, part_rows: int = 10_000, group_rows: int = 1_000) -> None:
    """A dataset's rows in parts, as the importer writes them."""
    shutil.rmtree(folder, ignore_errors=True)  # ids return after a rolled-back test, its files stay
    (folder / "rows").mkdir(parents=True)
    for number, start in enumerate(range(0, max(len(table), 1), part_rows)):
        path = folder / "rows" / f"part-{number:05d}.parquet"
        pq.write_table(table.slice(start, part_rows), path, row_group_size=group_rows)


def make_dataset(table: pa.Table | None = None, *, is_ready: bool = True, name: str = "stories", **layout) -> Dataset:
    """A dataset with its rows on disk; without `table`, three sentences."""
    if table is None:
        table = pa.table({"id": [1, 2, 3], "text": ["The cat sat.", "Call me <b>Ishmael</b>.", "It was dark."]})
    dataset = Dataset.objects.create(
        name=name,
        source="file",
        origin="/texts/stories.txt",
        rows=len(table),
        bytes=2048,
        text_column="text",
        content_sha256="c" * 64,
        ready_at=timezone.now() if is_ready else None,
        report={"columns": table.column_names, "text_bytes": 99, "undecodable_rows": 0, "nul_rows": 0},
    )
    if is_ready:
        rows_write(data_path("datasets", dataset.pk), table, **layout)
    return dataset


def make_language_model(
    *,
    is_ready: bool = True,
    name: str = "tiny",
    tokenizer_sha256: str = "t" * 64,
    sites: tuple[tuple[str, int], ...] = SITES,
) -> LanguageModel:
    """A language model of two layers with its vocabulary on disk."""
    language_model = LanguageModel.objects.create(
        name=name,
        source="folder",
        origin="/models/tiny",
        licence="mit",
        model_type="llama",
        layers=LAYERS,
        d_model=32,
        vocab_size=len(VOCABULARY),
        parameters=1000,
        dtype="float32",
        quantization="fp32",
        footprint_bytes=4096,
        bytes=4000,
        tokenizer_sha256=tokenizer_sha256,
        weights_sha256="w" * 64,
        ready_at=timezone.now() if is_ready else None,
        report={
            "architecture": "LlamaForCausalLM",
            "dtype": "float32",
            "parameters": 1000,
            "linear_parameters": 700,
            "kv_width": 64,
            "vocab_size": len(VOCABULARY),
            "d_model": 32,
            "d_mlp": 64,
            "heads": 4,
            "max_context": 128,
            "has_chat_template": False,
            "tied_embeddings": True,
            "hook_sites": [
                {"layer": layer, "site": site, "width": width, "module": f"model.layers.{layer} out"}
                for layer in range(LAYERS)
                for site, width in sites
            ],
            "modules": [
                {"path": "", "class": "LlamaForCausalLM", "parameters": 1000, "shape": None, "depth": 0},
                {"path": "model.norm", "class": "LlamaRMSNorm", "parameters": 250, "shape": [32], "depth": 1},
            ],
        },
    )
    if is_ready:
        folder = data_path("models", language_model.pk)
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary_write(folder, VOCABULARY)
    return language_model


def vocabulary_write(
    folder: Path,
    tokens: list[str],
    spelling: Spelling | None = BYTE_LEVEL,
    first_token: FirstToken = NO_TOKEN_PUT,
) -> None:
    """vocabulary.parquet as an import writes it; as older versions did without `spelling`."""
    table = pa.table({"token_id": pa.array(range(len(tokens)), pa.int32()), "token": tokens})
    if spelling is not None:
        table = table.replace_schema_metadata({SPELLING_KEY: spelling.dump(), FIRST_TOKEN_KEY: first_token.dump()})
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "vocabulary.parquet")


def make_tokenization(
    dataset: Dataset | None = None,
    language_model: LanguageModel | None = None,
    *,
    is_ready: bool = True,
    contexts: int = 12,
    has_statistics: bool = True,
    **report,
) -> Tokenization:
    """A tokenization of contexts that count through the vocabulary; `report` changes numbers of its report.

    Without statistics its folder is as it was before there were any.
    """
    language_model = language_model or make_language_model()
    tokenization = Tokenization.objects.create(
        dataset=dataset or make_dataset(),
        language_model=language_model,
        context_length=CONTEXT_LENGTH,
        contexts=contexts,
        heldout_contexts=1,
        train_tokens=contexts * CONTEXT_LENGTH,
        heldout_tokens=CONTEXT_LENGTH,
        tokenizer_sha256=language_model.tokenizer_sha256,
        tokens_sha256="k" * 64,
        bytes=500,
        ready_at=timezone.now() if is_ready else None,
        report={
            "documents": 3,
            "heldout_documents": 1,
            "tokens": contexts * CONTEXT_LENGTH,
            "heldout_tokens": CONTEXT_LENGTH,
            "dropped_rows": {"excluded": 1, "empty": 0, "cleaned": 0, "short": 1, "junk": 0},
            "edited_rows": 0,
            "document_tokens": (contexts + 1) * (CONTEXT_LENGTH - 1) + 6,
            "join_tokens": 2,
            "bos_tokens": contexts + 1,
            "repeated_tokens": 0,
            "filtered_tokens": 0,
            "truncated_tokens": 0,
            "dropped_tokens": 3,
            "dropped_document_tokens": 5,
            "duplicate_documents": 1,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "vocab_size": len(VOCABULARY),
            "distinct_tokens": 6,
            **report,
        },
    )
    if is_ready:
        folder = data_path("tokenizations", tokenization.pk)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        for part, count in (("train", contexts), ("heldout", 1)):
            tokens = np.tile(np.arange(CONTEXT_LENGTH, dtype=np.int32), (count, 1))
            save_file({"tokens": tokens, "first_row": np.zeros(count, np.int64)}, folder / f"{part}.safetensors")
        if has_statistics:
            statistics_write(folder)
    return tokenization


def preview_result(*, is_strict: bool = True) -> TokenPreviewResult:
    """Two rows as the engine would answer: of the first, the strict filter takes out its last token; the second is short."""
    cat = PreviewRow(
        row=0,
        text="The cat sat\n",
        tokens=("<s>", "The", "Ġcat", "Ġsat", "Ċ"),
        token_ids=(0, 2, 3, 4, 6),
        is_kept=(True, True, True, True, not is_strict),
        drop_reason="",
        is_clipped=False,
    )
    short = PreviewRow(
        row=1, text="on", tokens=("Ġon",), token_ids=(7,), is_kept=(True,), drop_reason="short", is_clipped=False
    )
    return TokenPreviewResult(rows=(cat, short))


def make_preview(dataset: Dataset | None = None, *, is_ready: bool = True, user=None, **spec) -> TokenPreview:
    """A preview with its job, finished or waiting."""
    dataset = dataset or make_dataset()
    language_model = make_language_model()
    preview = TokenPreview.objects.create(dataset=dataset, language_model=language_model, created_by=user)
    spec = TokenPreviewSpec(dataset=dataset.pk, language_model=language_model.pk, **spec)
    job = job_enqueue(spec=spec, subject=preview, user=user)
    if is_ready:
        Job.objects.filter(pk=job.pk).update(state="succeeded")
        preview.report, preview.ready_at = preview_result().to_json(), timezone.now()
        preview.save()
    return preview


def statistics_write(folder: Path) -> None:
    """What a tokenization keeps beside its contexts: six tokens occur, one twice as often; rows 0 and 2 were dropped."""
    token_counts = np.array([0, 0, 20, 10, 10, 10, 10, 10], np.int64)
    length_counts = np.array([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1], np.int64)
    save_file({"token_counts": token_counts, "length_counts": length_counts}, folder / "statistics.safetensors")
    dropped = pa.table({"row": pa.array([0, 2], pa.int64()), "reason": ["excluded", "short"]})
    pq.write_table(dropped, folder / "dropped.parquet")


def make_cache(tokenization: Tokenization | None = None, *, is_ready: bool = True) -> ActivationCache:
    """An activation cache; no shards on disk."""
    tokenization = tokenization or make_tokenization()
    return ActivationCache.objects.create(
        tokenization=tokenization,
        language_model=tokenization.language_model,
        layer=1,
        site="resid_post",
        tokens=80 if is_ready else 0,
        d_in=32,
        bytes=5120 if is_ready else 0,
        sink_threshold=10.0,
        mean_norm=2.5,
        ready_at=timezone.now() if is_ready else None,
        report={
            "tokens_run": 96,
            "contexts": 12,
            "first_positions": 12,
            "sink_tokens": 4,
            "sink_threshold": 10.0,
            "median_norm": 2.0,
            "mean_norm": 2.5,
            "tokens_per_s": 1000.0,
            "lm_dtype": "float32",
            "activations_sha256": "a" * 64,
        }
        if is_ready
        else {},
    )


def job_about(subject, **values) -> Job:
    """The job that makes `subject`, brought into a state by hand."""
    specs = {
        Dataset: lambda: DatasetImportSpec(source="file", path="/texts/stories.txt"),
        LanguageModel: lambda: LanguageModelImportSpec(source="folder", path="/models/tiny"),
        Tokenization: lambda: TokenizeSpec(dataset=subject.dataset_id, language_model=subject.language_model_id),
        ActivationCache: lambda: ActivationCacheSpec(
            tokenization=subject.tokenization_id, language_model=subject.language_model_id, layer=1
        ),
    }
    job = job_enqueue(spec=specs[type(subject)](), subject=subject)
    Job.objects.filter(pk=job.pk).update(**values)
    return Job.objects.get(pk=job.pk)
