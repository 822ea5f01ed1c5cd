"""Feature run: statistics, examples, neighbours and logit lists for all latents of one SAE or several, from one pass over
a tokenization.

    1. Contexts run through the language model up to the last hook site; included positions are encoded by every SAE; every
       firing goes to disk (reading.py, firings.py). The training part is read first, then the held-out part, up to
       `max_tokens` tokens. A killed run goes on there; one that is asked to finish describes what it has read.
    2. SAE after SAE, range after range of latents, all of a latent's firings at hand (describing.py).
    3. Logit lists from the weights alone (logit_lens.py).

Position 0 and sink tokens are left out of everything but the text of windows. SAEs are read in the unit gauge where that
keeps their function, so activations are lengths along unit directions. A transcoder's latents fire on what it reads; logit
lists follow its rows from the site that it answers. `context` in examples counts through both parts: 0… are those of the
training part, the held-out ones follow.

Shapes: N contexts, T tokens in a context, F d_sae.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from workers.engine.datasets.contexts import PARTS, Contexts
from workers.engine.features.describing import Pieces, latents_describe, rows_fill
from workers.engine.features.logit_lens import logit_lists, output_directions
from workers.engine.features.reading import Reading, SaeFirings
from workers.engine.formats.saelens import sae_read
from workers.engine.language_models.context_fit import contexts_check
from workers.engine.language_models.loading import language_model_load
from workers.engine.language_models.reading_as import read_as
from workers.engine.language_models.stored_vocabulary import vocabulary_read
from workers.engine.progress import Progress
from workers.engine.saes.sae import Sae
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.features import (
    HISTOGRAM_BINS,
    READABLE,
    DescribedSae,
    FeatureRunInputs,
    FeatureRunResult,
    FeatureRunSpec,
)
from workers.engine.tensor_file import tensor_file_create, tensor_file_open
from workers.engine.text.spelling import VOCABULARY_NAME
from workers.engine.text.tokens import token_pieces, token_texts

READING = "reading"
"""Below the job's folder: what a killed run goes on from."""
MOST_POSITIONS = 2**31 - 1
"""Positions are kept as int32."""


def feature_run(spec: FeatureRunSpec, inputs: FeatureRunInputs, progress: Progress) -> FeatureRunResult:
    """Fill a folder below `inputs.out_dir` for each SAE with the files that DescribedSae names.

    Goes on from what an earlier try left in `inputs.job_dir`. Raises BadArtifact, EngineError
    "tokenizer_mismatch" or "context_too_long", DiskFull, Stopped for a wish.
    """
    progress.phase("Loading the language model")
    saes = [sae_read(folder).with_unit_decoder().to(inputs.device) for folder in inputs.sae_dirs]
    contexts = contexts_to_read(inputs.tokenization_dir, spec.max_tokens, spec.first_context)
    folders = [Path(inputs.out_dir) / f"sae-{number:02d}" for number in range(len(saes))]
    texts, pieces = _vocabulary_copy(inputs.model_dir, folders)
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )
    contexts_check(model, largest_id=int(contexts.tokens.max()), context_length=contexts.context_length)
    reading = Reading(spec, Path(inputs.job_dir) / READING, model, saes, contexts)
    tokens_per_s = reading.run(progress)
    as_read = read_as(model, inputs.quantization, inputs.model_dir, context_length=contexts.context_length)
    described = tuple(
        replace(_describe(spec, folder, contexts, each, model, (texts, pieces), progress), read_as=as_read)
        for folder, each in zip(folders, reading.each)
    )
    shutil.rmtree(Path(inputs.job_dir) / READING)
    return FeatureRunResult(
        saes=described,
        contexts=reading.contexts_read,
        tokens_read=reading.tokens_read,
        tokens_per_s=tokens_per_s,
        batch_contexts=reading.batch_contexts,
    )


def _describe(
    spec: FeatureRunSpec,
    folder: Path,
    contexts: Contexts,
    each: SaeFirings,
    model: PreTrainedModel,
    vocabulary: tuple[list[str], Pieces],
    progress: Progress,
) -> DescribedSae:
    texts, pieces = vocabulary
    alive = latents_describe(spec, folder, contexts, each, texts, pieces, progress)
    _logits_write(spec, folder, each.sae, model, len(texts), progress)
    return DescribedSae(
        folder=folder.name,
        tokens=len(each.firings.positions_P),
        d_sae=each.sae.encode_spec.d_sae,
        alive=alive,
        bytes=sum(path.stat().st_size for path in folder.iterdir()),
        **_summary(folder),
    )


def _summary(folder: Path) -> dict[str, Any]:
    """What the statistics of all latents say together, as fields of DescribedSae."""
    statistics = tensor_file_open(folder / "statistics.safetensors")
    fired_F = np.asarray(statistics["count"]) > 0
    means = {
        name: float(np.mean(statistics[column][fired_F], dtype=np.float64)) if fired_F.any() else None
        for name, column in (("mean_density", "density"), ("mean_score", "score"))
    }
    return {"readable": int((np.asarray(statistics["score"]) > READABLE).sum()), **means}


def contexts_to_read(tokenization_dir: str | Path, max_tokens: int, first_context: int = 0) -> Contexts:
    """Contexts of the training part from `first_context` on, then of the held-out part, until `max_tokens` are reached.

    Never more than MOST_POSITIONS places. Raises BadArtifact when nothing is left to read.
    """
    parts = [Contexts.open(tokenization_dir, part) for part in PARTS]
    train, heldout = parts[0][first_context:], parts[1][max(0, first_context - len(parts[0])) :]
    most = MOST_POSITIONS // train.context_length
    train = train[: min(train.count_reaching(max_tokens), most)]
    missing = max_tokens - train.token_count
    heldout = heldout[: min(heldout.count_reaching(missing), most - len(train)) if missing > 0 else 0]
    if not len(train) + len(heldout):
        there = sum(map(len, parts))
        raise BadArtifact(
            f"The tokenization has {there:,} contexts: none from context {first_context:,} on.",
            "Tokenize more text, or begin with an earlier context.",
        )
    return Contexts(
        tokens=np.concatenate([train.tokens, heldout.tokens]),
        first_row=np.concatenate([train.first_row, heldout.first_row]),
        lengths=np.concatenate([train.lengths, heldout.lengths]),
    )


def _logits_write(
    spec: FeatureRunSpec, out: Path, sae: Sae, model: PreTrainedModel, vocabulary_size: int, progress: Progress
) -> None:
    """logits.safetensors."""
    F, listed = sae.encode_spec.d_sae, spec.logit_tokens
    ids = dict.fromkeys(("promoted_ids", "suppressed_ids"), ("int32", (F, listed)))
    values = dict.fromkeys(("promoted_values", "suppressed_values"), ("float32", (F, listed)))
    spread = {"histogram": ("int32", (F, HISTOGRAM_BINS)), "lowest": ("float32", (F,)), "highest": ("float32", (F,))}
    target = tensor_file_create(out / "logits.safetensors", {**ids, **values, **spread})
    progress.phase("Reading logits", F, "latents")
    unembedding_VD = model.get_output_embeddings().weight[:vocabulary_size]
    for lists in logit_lists(output_directions(sae, model), unembedding_VD, listed):
        found = {name: getattr(lists, name).cpu().numpy() for name in target}
        rows_fill(target, slice(lists.start, lists.start + len(lists.lowest)), found)
        progress.reach(lists.start + len(lists.lowest))


def _vocabulary_copy(model_dir: str, folders: list[Path]) -> tuple[list[str], Pieces]:
    """Make the folders, each with a copy of the vocabulary; returns what each token id stands for by itself, and in a row."""
    source = Path(model_dir) / VOCABULARY_NAME
    stored = vocabulary_read(source)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / VOCABULARY_NAME)
    texts = [""] * (max(stored.tokens) + 1)
    for token_id, token in stored.tokens.items():
        texts[token_id] = token_texts([token], stored.spelling)[0]
    return texts, lambda ids: token_pieces([stored.tokens.get(each, f"<{each}>") for each in ids], stored.spelling)
