"""Feature runs: paths for the engine before; after, one Feature row per latent, written over without touching words.

Shapes: F latents, L listed tokens, C latents of one chunk.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from django.db import connection, transaction

from apps.core.errors import AppError
from apps.core.storage import artifact_place, artifact_remove, data_path
from apps.datasets.models import Tokenization
from apps.features.artifacts import Vocabulary, tensors, vocabulary_open
from apps.features.models import Feature, FeatureRun, FeatureTerm
from apps.features.search.terms import token_shown, token_terms_replace
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.jobs.states import Wish
from apps.saes.models import Sae
from workers.engine.specs.features import DescribedSae, FeatureRunInputs, FeatureRunResult, FeatureRunSpec
from workers.engine.specs.training_memory import FLOAT32, GPU_CHUNK_ELEMENTS
from workers.runners.base import Runner, folder_take_over
from workers.runners.lm_memory import held_as, lm_weights_bytes

CHUNK = 2000
"""Latents read at once."""
WRITTEN_AT_ONCE = 200
"""Rows of one statement."""
STATISTICS = {"density": "density", "mean": "mean", "maximum": "maximum", "firings": "count"}
SCORES = ("consistency", "concentration", "agreement", "score")
COLUMNS = STATISTICS | {name: name for name in SCORES}
"""Column → tensor of statistics.safetensors."""
NUMBERS_AND_WORDS = (*COLUMNS, "top_tokens", "promoted_tokens")
"""What a run measures; every other column is people's and survives."""
LEFT_TO_PEOPLE = [
    field
    for field in Feature._meta.concrete_fields
    if field.name not in ("id", "sae", "run", "index", *NUMBERS_AND_WORDS)
]
READING = "reading"
"""Where the engine keeps what it read so far, below the job's folder."""
MOST_CHARACTERS = Feature._meta.get_field("top_tokens").max_length


class FeatureRunRunner(Runner):
    spec = FeatureRunSpec
    inputs = FeatureRunInputs
    result = FeatureRunResult

    def prepare(self, job: Job, spec: FeatureRunSpec, where: dict[str, str]) -> FeatureRunInputs:
        run: FeatureRun = self.subject(job)
        folder_take_over(run, job, READING)
        return FeatureRunInputs(
            **where,
            sae_dirs=tuple(str(data_path("saes", pk)) for pk in spec.saes),
            tokenization_dir=str(data_path("tokenizations", run.tokenization_id)),
            model_dir=str(data_path("models", run.sae.language_model_id)),
            quantization=held_as(run.sae.language_model),
        )

    def finish(self, job: Job, spec: FeatureRunSpec, result: FeatureRunResult, out_dir: str) -> None:
        first: FeatureRun = self.subject(job)
        runs = {run.sae_id: run for run in (first, *first.followers.select_related("sae"))}
        for pk, described in zip(spec.saes, result.saes, strict=True):
            if pk in runs:  # else it was deleted meanwhile
                _run_finish(runs[pk], described, Path(out_dir) / described.folder)

    def discard(self, job: Job) -> None:
        """A cancelled run is not taken up again; a failed one is, by its retry."""
        job.refresh_from_db(fields=["wish"])
        if job.wish == Wish.CANCEL:
            artifact_remove(data_path("jobs", job.pk, READING))

    def memory_bytes(self, spec: FeatureRunSpec) -> int:
        """Weights of model and SAEs, and the latents of one batch; examples lie on disk."""
        saes = Sae.objects.select_related("language_model", "tokenization").in_bulk(spec.saes)
        first = saes[spec.sae]
        tokens = spec.batch_contexts * Tokenization.objects.get(pk=spec.tokenization).context_length
        latents = max(min(tokens * sae.d_sae, GPU_CHUNK_ELEMENTS) for sae in saes.values())
        weights = sum(2 * sae.d_in * sae.d_sae for sae in saes.values())
        return lm_weights_bytes(first.language_model, spec.lm_dtype) + FLOAT32 * (weights + 2 * latents)


def _run_finish(run: FeatureRun, described: DescribedSae, folder: Path) -> None:
    """Rows from the files of one SAE; the folder becomes features/<id>."""
    if described.d_sae != run.sae.d_sae:
        raise AppError(
            "wrong_size",
            f"The run describes {described.d_sae:,} latents, but {run.sae} has {run.sae.d_sae:,}.",
            "Start the run again.",
        )
    rows_write(run, folder, described.d_sae)
    terms_write(run.sae_id, folder)
    run.tokens, run.alive, run.bytes = described.tokens, described.alive, described.bytes
    run.report = described.to_json()
    subject_ready(run)
    # Last, because a rename cannot be rolled back.
    artifact_place(folder, data_path("features", run.pk))


def rows_write(run: FeatureRun, folder: Path, d_sae: int) -> None:
    """A row for each latent, new or written over without touching what people gave it."""
    # Tens of thousands of rows while others wait for the lock: model instances and their conversions would take longer
    # than the database.
    names = ("index", *NUMBERS_AND_WORDS)
    fixed = {"sae_id": run.sae_id, "run_id": run.pk} | {field.attname: field.get_default() for field in LEFT_TO_PEOPLE}
    quote = connection.ops.quote_name
    columns = ", ".join(quote(name) for name in (*fixed, *names))
    place = f"({', '.join(['%s'] * (len(fixed) + len(names)))})"
    measured = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in ("run_id", *NUMBERS_AND_WORDS))
    head = f"INSERT INTO {quote(Feature._meta.db_table)} ({columns}) VALUES "
    tail = f" ON CONFLICT (sae_id, {quote('index')}) DO UPDATE SET {measured}"
    known = tuple(fixed.values())
    rows = rows_read(folder, d_sae)
    with transaction.atomic(), connection.cursor() as cursor:
        while part := list(islice(rows, WRITTEN_AT_ONCE)):
            values = [value for row in part for value in (*known, *row)]
            cursor.execute(f"{head}{', '.join([place] * len(part))}{tail}", values)


def rows_read(folder: Path, d_sae: int) -> Iterator[tuple[Any, ...]]:
    """What a run found of each latent: its index, the columns of NUMBERS_AND_WORDS."""
    words = Words(vocabulary_open(folder))
    with (
        tensors(folder, "statistics") as statistics,
        tensors(folder, "tokens") as tokens,
        tensors(folder, "logits") as logits,
    ):
        columns = [statistics.get_tensor(name) for name in COLUMNS.values()]
        for start in range(0, d_sae, CHUNK):
            rows = slice(start, min(start + CHUNK, d_sae))
            yield from zip(
                range(rows.start, rows.stop),
                *(values[rows].tolist() for values in columns),
                map(words.in_order, tokens.get_slice("ids")[rows].tolist()),
                map(words.in_order, logits.get_slice("promoted_ids")[rows].tolist()),
            )


def terms_write(sae_id: int, folder: Path) -> None:
    """What a search for tokens finds, from a run's files: what features fire on and what they promote, uncut."""
    words = Words(vocabulary_open(folder))
    sources = {FeatureTerm.Kind.FIRES_ON: ("tokens", "ids"), FeatureTerm.Kind.PROMOTES: ("logits", "promoted_ids")}
    for kind, (file, name) in sources.items():
        with tensors(folder, file) as read:
            ids_FL = read.get_tensor(name)
        texts = {token_id: words.word(token_id) for token_id in np.unique(ids_FL).tolist() if token_id >= 0}
        token_terms_replace(sae_id=sae_id, kind=kind, texts=texts, ids_FL=ids_FL)


class Words:
    """Token ids as the words that lists show: trimmed, separated by blanks, cut to what a row holds."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[int, str] = {}

    def in_order(self, ids: list[int]) -> str:
        """Distinct words of `ids` in their order; those below 0 are none."""
        return _joined(list(dict.fromkeys(self.word(token_id) for token_id in ids if token_id >= 0)))

    def word(self, token_id: int) -> str:
        """One token as lists show it."""
        if token_id not in self._known:
            self._known[token_id] = token_shown(self._vocabulary.text(token_id))
        return self._known[token_id]


def _joined(words: list[str]) -> str:
    whole = " ".join(words)
    if len(whole) <= MOST_CHARACTERS:
        return whole
    kept, length = [], 0
    for word in words:
        length += len(word) + 1
        if length - 1 > MOST_CHARACTERS:
            break
        kept.append(word)
    return " ".join(kept)
