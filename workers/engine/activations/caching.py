"""Fill an activation cache: contexts of the training part through the language model, up to one hook site, onto the disk.

The sink threshold is SINK_FACTOR × the median norm over the first contexts' positions other than 0, measured once and
then fixed; it depends neither on the batch size nor on max_tokens (unless the text is shorter than the sample).

Shapes: N contexts, B contexts in a batch, T tokens in a context, D d_in.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.activations.cache import NUMBERS_NAME
from workers.engine.activations.positions import included_positions, position_norms
from workers.engine.activations.shards import ShardWriter
from workers.engine.datasets.contexts import Contexts
from workers.engine.disk import disk_require
from workers.engine.hooks.capture import capture
from workers.engine.hooks.sites import hook_point
from workers.engine.language_models.loading import language_model_load
from workers.engine.progress import Progress
from workers.engine.specs.activations import (
    SINK_FACTOR,
    ActivationCacheInputs,
    ActivationCacheResult,
    ActivationCacheSpec,
)
from workers.engine.specs.errors import BadArtifact, EngineError, OutOfMemory

THRESHOLD_TOKENS = 8192
"""Positions whose norms decide the median, first positions of contexts not counted."""


@dataclass
class Counts:
    """Positions so far: run, left out as first, left out as sinks."""

    run: int = 0
    first: int = 0
    sinks: int = 0


def activation_cache(
    spec: ActivationCacheSpec, inputs: ActivationCacheInputs, progress: Progress
) -> ActivationCacheResult:
    """Write the cache into inputs.out_dir (files: cache.py) and return its numbers.

    Runs at the speed of the truncated forward pass; memory is bounded by one batch and one shard. Raises EngineError
    "tokenizer_mismatch", "context_too_long", "not_finite", those of `hook_point`, DiskFull, BadArtifact, OutOfMemory.
    """
    progress.phase("Loading the language model")
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )
    tokens_NT = _tokens_to_run(spec, inputs, model)
    d_in = hook_point(model, spec.hook_site).width
    disk_require(inputs.out_dir, tokens_NT.size * d_in * torch.bfloat16.itemsize)
    writer, counts = ShardWriter(inputs.out_dir, d_in), Counts()
    progress.phase("Caching activations", tokens_NT.size, "tokens")
    started = time.perf_counter()
    try:
        median = _fill(spec, model, tokens_NT, writer, counts, progress)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"{inputs.device} ran out of memory with {spec.batch_contexts} contexts at once.",
            "Choose fewer contexts at once, or a device with more memory.",
        ) from error
    writer.close()
    result = ActivationCacheResult(
        tokens=writer.tokens,
        tokens_run=counts.run,
        contexts=len(tokens_NT),
        first_positions=counts.first,
        sink_tokens=counts.sinks,
        sink_threshold=SINK_FACTOR * median,
        median_norm=median,
        mean_norm=writer.mean_norm,
        d_in=d_in,
        lm_dtype=str(model.dtype).removeprefix("torch."),
        tokens_per_s=counts.run / (time.perf_counter() - started),
        bytes=sum(path.stat().st_size for path in Path(inputs.out_dir).iterdir()),
        activations_sha256=writer.sha256,
    )
    (Path(inputs.out_dir) / NUMBERS_NAME).write_text(json.dumps(result.to_json(), indent=2), "utf-8")
    return result


def _tokens_to_run(spec: ActivationCacheSpec, inputs: ActivationCacheInputs, model: PreTrainedModel) -> np.ndarray:
    """(N, T) int32: whole contexts, `max_tokens` tokens at most but one context at least, checked against the model."""
    contexts = Contexts.open(inputs.tokenization_dir, "train")
    if not len(contexts):
        raise BadArtifact("The tokenization has no contexts.", "Tokenize more text.")
    tokens_NT = contexts.tokens[: max(1, spec.max_tokens // contexts.context_length)]
    vocab_size = model.get_input_embeddings().weight.shape[0]
    largest = int(tokens_NT.max())
    if largest >= vocab_size:
        raise EngineError(
            f"The tokenization has token id {largest}; the language model knows ids up to {vocab_size - 1}.",
            "Choose the language model whose tokenizer cut the text, or tokenize with this one's.",
            code="tokenizer_mismatch",
        )
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit and contexts.context_length > limit:
        raise EngineError(
            f"The contexts have {contexts.context_length} tokens; the language model reads {limit} at most.",
            "Tokenize with a shorter context length.",
            code="context_too_long",
        )
    return tokens_NT


def _fill(
    spec: ActivationCacheSpec,
    model: PreTrainedModel,
    tokens_NT: np.ndarray,
    writer: ShardWriter,
    counts: Counts,
    progress: Progress,
) -> float:
    """Run everything and write what is included; returns the median norm. The first batches wait for it."""
    N, T = tokens_NT.shape
    sample_contexts = min(N, -(-THRESHOLD_TOKENS // (T - 1)))
    waiting: list[Tensor] = []
    median: float | None = None
    started = time.perf_counter()
    for x_BTD in _captured(spec, model, tokens_NT):
        waiting.append(x_BTD)
        counts.run += x_BTD.shape[0] * T
        if median is None and counts.run >= sample_contexts * T:
            norms_BT = torch.cat([position_norms(x) for x in waiting])[:sample_contexts]
            median = norms_BT[:, 1:].median().item()
        if median is not None:
            for x in waiting:
                _keep(x, SINK_FACTOR * median, writer, counts)
            waiting.clear()
        progress.reach(counts.run, f"{counts.run / (time.perf_counter() - started):,.0f} tokens/s")
    return median


def _captured(spec: ActivationCacheSpec, model: PreTrainedModel, tokens_NT: np.ndarray) -> Iterator[Tensor]:
    """Activations (B, T, D), batch by batch."""
    for start in range(0, len(tokens_NT), spec.batch_contexts):
        ids_BT = torch.from_numpy(tokens_NT[start : start + spec.batch_contexts].astype(np.int64))
        yield capture(model, ids_BT, spec.hook_site)


def _keep(x_BTD: Tensor, sink_threshold: float, writer: ShardWriter, counts: Counts) -> None:
    """Write the included positions and count the others."""
    norms_BT = position_norms(x_BTD)
    if not norms_BT.isfinite().all():
        raise EngineError(
            "The language model gives infinite numbers or NaN at this hook site.",
            "Choose float32 as the model's precision; if it stays so, the model's weights are damaged.",
            code="not_finite",
        )
    included_BT = included_positions(norms_BT, sink_threshold)
    writer.add(x_BTD[included_BT])
    counts.first += len(x_BTD)
    counts.sinks += int((~included_BT[:, 1:]).sum())
