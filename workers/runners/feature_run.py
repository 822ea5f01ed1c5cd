"""Feature runs: paths for the engine before; after, one Feature row per latent, written over without touching words.

Shapes: F latents, S example slots, C latents of one chunk.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from apps.core.errors import AppError
from apps.core.storage import artifact_place, data_path
from apps.features.artifacts import TOP_GROUP, Vocabulary, tensors, vocabulary_open
from apps.features.models import Feature, FeatureRun
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.saes.models import Sae
from workers.engine.specs.features import FeatureRunInputs, FeatureRunResult, FeatureRunSpec
from workers.engine.text.decoding import visible
from workers.runners.base import Runner
from workers.runners.lm_memory import held_as, lm_weights_bytes

CHUNK = 2000
"""Latents read and written at once."""
MEASURED = ["run", "density", "mean", "maximum", "top_tokens", "promoted_tokens"]
"""What a run writes; every other column is people's and survives."""
MOST_CHARACTERS = Feature._meta.get_field("top_tokens").max_length


class FeatureRunRunner(Runner):
    spec = FeatureRunSpec
    inputs = FeatureRunInputs
    result = FeatureRunResult

    def prepare(self, job: Job, spec: FeatureRunSpec, where: dict[str, str]) -> FeatureRunInputs:
        run: FeatureRun = self.subject(job)
        return FeatureRunInputs(
            **where,
            sae_dir=str(data_path("saes", run.sae_id)),
            tokenization_dir=str(data_path("tokenizations", run.tokenization_id)),
            model_dir=str(data_path("models", run.sae.language_model_id)),
            quantization=held_as(run.sae.language_model),
        )

    def finish(self, job: Job, spec: FeatureRunSpec, result: FeatureRunResult, out_dir: str) -> None:
        run: FeatureRun = self.subject(job)
        if result.d_sae != run.sae.d_sae:
            raise AppError(
                "wrong_size",
                f"The run describes {result.d_sae:,} latents, but {run.sae} has {run.sae.d_sae:,}.",
                "Start the run again.",
            )
        for chunk in features_read(run, Path(out_dir), result.d_sae):
            Feature.objects.bulk_create(
                chunk, update_conflicts=True, unique_fields=["sae", "index"], update_fields=MEASURED
            )
        run.tokens, run.alive, run.bytes, run.report = result.tokens, result.alive, result.bytes, result.to_json()
        subject_ready(run)
        # Last, because a rename cannot be rolled back.
        artifact_place(Path(out_dir), data_path("features", run.pk))

    def memory_bytes(self, spec: FeatureRunSpec) -> int:
        """Weights of model and SAE, the logits of one batch, and the examples kept on the device."""
        sae = Sae.objects.select_related("language_model").get(pk=spec.sae)
        model = sae.language_model
        slots = spec.top_examples + spec.quantile_groups * spec.quantile_examples + spec.zero_examples
        window = spec.window_before + 1 + spec.window_after
        examples = sae.d_sae * slots * window * 6
        latents = spec.batch_contexts * 128 * sae.d_sae * 4
        return lm_weights_bytes(model, spec.lm_dtype) + sae.d_in * sae.d_sae * 8 + latents * 2 + examples


def features_read(run: FeatureRun, folder: Path, d_sae: int) -> Iterator[list[Feature]]:
    """Feature rows from a run's files, in chunks, not yet saved."""
    vocabulary = vocabulary_open(folder)
    words = Words(vocabulary)
    with (
        tensors(folder, "statistics") as statistics,
        tensors(folder, "examples") as examples,
        tensors(folder, "logits") as logits,
    ):
        columns = {name: statistics.get_tensor(name) for name in ("density", "mean", "maximum")}
        top_slots = int((examples.get_tensor("group") == TOP_GROUP).sum())
        for start in range(0, d_sae, CHUNK):
            rows = slice(start, min(start + CHUNK, d_sae))
            peaks_CS = peak_tokens(examples, rows, top_slots)
            promoted_CL = logits.get_slice("promoted_ids")[rows]
            yield [
                Feature(
                    sae_id=run.sae_id,
                    run=run,
                    index=start + place,
                    density=float(columns["density"][start + place]),
                    mean=float(columns["mean"][start + place]),
                    maximum=float(columns["maximum"][start + place]),
                    top_tokens=words.most_frequent(peaks_CS[place]),
                    promoted_tokens=words.in_order(promoted_CL[place]),
                )
                for place in range(rows.stop - rows.start)
            ]


def peak_tokens(examples: object, rows: slice, top_slots: int) -> np.ndarray:
    """(C, S) ids of the tokens at the peaks of the strongest examples; -1 where a slot is empty."""
    ids_CSW = examples.get_slice("token_ids")[rows, :top_slots]
    peak_CS = examples.get_slice("peak")[rows, :top_slots].astype(np.int64)
    context_CS = examples.get_slice("context")[rows, :top_slots]
    peaks_CS = np.take_along_axis(ids_CSW, np.maximum(peak_CS, 0)[..., None], axis=2)[..., 0]
    return np.where(context_CS >= 0, peaks_CS, -1)


class Words:
    """Token ids as the words that lists show and search: trimmed, separated by blanks, cut to what a row holds."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[int, str] = {}

    def most_frequent(self, ids: np.ndarray) -> str:
        """Distinct words of `ids`, most frequent first, earlier ones first among equals."""
        counts = Counter(self._word(int(i)) for i in ids if i >= 0)
        return _joined([word for word, _ in counts.most_common()])

    def in_order(self, ids: np.ndarray) -> str:
        """Distinct words of `ids` in their order."""
        return _joined(list(dict.fromkeys(self._word(int(i)) for i in ids if i >= 0)))

    def _word(self, token_id: int) -> str:
        if token_id not in self._known:
            text = self._vocabulary.text(token_id)
            self._known[token_id] = visible(text.strip() or text).replace(" ", "·") or "∅"
        return self._known[token_id]


def _joined(words: list[str]) -> str:
    kept, length = [], 0
    for word in words:
        length += len(word) + 1
        if length - 1 > MOST_CHARACTERS:
            break
        kept.append(word)
    return " ".join(kept)
