"""Fill an activation cache: contexts of the training part through the language model, up to one hook site or a pair of
them, onto the disk; then some held-out contexts.

The sink threshold is measured first (sinks.py), then fixed. Where max_tokens takes a part of the text, its contexts are drawn
over the whole, and read in the order in which they lie; so are the held-out ones.

Shapes: N contexts, B contexts in a batch, T tokens in a context.
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
from workers.engine.activations.context_order import ContextOrder
from workers.engine.activations.harvest import Harvested, harvest
from workers.engine.activations.shards import ShardWriter, held_out_write
from workers.engine.activations.sinks import SAMPLE_SEED, as_they_lie, median_norm, sample_order
from workers.engine.activations.texts import Texts
from workers.engine.disk import disk_require
from workers.engine.hooks.sites import hook_point
from workers.engine.language_models.loading import language_model_load, quantization_resolve, tokenizer_load
from workers.engine.language_models.special_tokens import special_token_ids
from workers.engine.progress import Progress
from workers.engine.specs.activations import (
    HELD_OUT_TOKENS,
    SINK_FACTOR,
    ActivationCacheInputs,
    ActivationCacheResult,
    ActivationCacheSpec,
)
from workers.engine.specs.errors import OutOfMemory
from workers.engine.specs.hook_site import HookSite

HELD_OUT_SHARE = 1 / 8
"""Of the tokens kept: a small cache holds fewer held-out rows than HELD_OUT_TOKENS."""


@dataclass
class Counts:
    """Positions so far: run, left out as first, left out as sinks, as special tokens; and the time it took."""

    run: int = 0
    first: int = 0
    sinks: int = 0
    special: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What is read: contexts in an order, at hook sites, by a model."""

    model: PreTrainedModel
    sites: tuple[HookSite, ...]
    """The site, and mlp_out beside it in a paired cache."""
    batch_contexts: int
    excluded_tokens: tuple[int, ...] = ()

    def run(self, texts: Texts, order_N2: np.ndarray) -> Iterator[Harvested]:
        return harvest(self.model, texts, order_N2, self.sites, self.batch_contexts, self.excluded_tokens)

    def limits(self, sink_threshold: float) -> tuple[float | None, ...]:
        """The site's own; targets go with their inputs."""
        return (sink_threshold, None)[: len(self.sites)]


def activation_cache(
    spec: ActivationCacheSpec, inputs: ActivationCacheInputs, progress: Progress
) -> ActivationCacheResult:
    """Write the cache into inputs.out_dir (files: cache.py) and return its numbers.

    Runs at the speed of the truncated forward pass; memory is bounded by one batch and one shard. Raises EngineError
    "tokenizer_mismatch", "context_too_long", "context_lengths_differ", "contexts_too_short", "activations_not_finite",
    those of `hook_point`, DiskFull, BadArtifact, OutOfMemory.
    """
    progress.phase("Loading the language model")
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )
    texts = Texts.open(inputs.tokenization_dirs, "train")
    texts.check(model)
    order_N2 = _contexts_to_run(spec, texts)
    tokens_to_run = int(texts.lengths(order_N2).sum())
    sites = (spec.hook_site,) if spec.hook_site_out is None else (spec.hook_site, spec.hook_site_out)
    widths = [hook_point(model, site).width for site in sites]
    disk_require(inputs.out_dir, tokens_to_run * sum(widths) * torch.bfloat16.itemsize)
    excluded_tokens = special_token_ids(tokenizer_load(inputs.model_dir)) if spec.leave_out_special else ()
    reading = Reading(model, sites, spec.batch_contexts, excluded_tokens)
    writer = ShardWriter(inputs.out_dir, *widths)
    try:
        median, sample_contexts = _measure(reading, texts, progress)
        limits = reading.limits(SINK_FACTOR * median)
        counts = _fill(reading, texts, order_N2, limits, writer, progress)
        held_out_tokens = _hold_out(reading, inputs, limits, writer.tokens, progress)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"{inputs.device} ran out of memory with {spec.batch_contexts} contexts at once.",
            "Choose fewer contexts at once, or a device with more memory.",
        ) from error
    writer.close()
    result = ActivationCacheResult(
        tokens=writer.tokens,
        tokens_run=counts.run,
        contexts=len(order_N2),
        first_positions=counts.first,
        sink_tokens=counts.sinks,
        sink_threshold=SINK_FACTOR * median,
        sink_sample_contexts=sample_contexts,
        special_tokens=counts.special,
        excluded_tokens=excluded_tokens,
        median_norm=median,
        mean_norm=writer.mean_norms[0],
        d_in=widths[0],
        lm_dtype=str(model.dtype).removeprefix("torch."),
        tokens_per_s=counts.run / counts.seconds,
        bytes=sum(path.stat().st_size for path in Path(inputs.out_dir).iterdir()),
        activations_sha256=writer.sha256,
        quantization=quantization_resolve(inputs.quantization, inputs.model_dir),
        d_out=widths[1] if spec.is_paired else None,
        target_mean_norm=writer.mean_norms[1] if spec.is_paired else None,
        held_out_tokens=held_out_tokens,
    )
    (Path(inputs.out_dir) / NUMBERS_NAME).write_text(json.dumps(result.to_json(), indent=2), "utf-8")
    return result


def _contexts_to_run(spec: ActivationCacheSpec, texts: Texts) -> np.ndarray:
    """Whole contexts (N, 2), mixed, `max_tokens` tokens at most but one context at least."""
    order = ContextOrder(texts.sizes, mixing=spec.mixing, weights=spec.mixing_weights, seed=SAMPLE_SEED)
    order_N2 = _within(spec.max_tokens, texts, order)
    return order_N2 if len(order_N2) else as_they_lie(order.round(0)[:1])


def _within(tokens: int, texts: Texts, order: ContextOrder) -> np.ndarray:
    """The first contexts (N, 2) of a round with at most `tokens` tokens together, as they lie."""
    order_N2 = order.round(0)
    within = np.searchsorted(texts.lengths(order_N2).cumsum(), tokens, side="right")
    return as_they_lie(order_N2[:within])


def _measure(reading: Reading, texts: Texts, progress: Progress) -> tuple[float, int]:
    """The median norm over the texts' sample, and over how many contexts."""
    order_N2 = sample_order(texts)
    progress.phase("Measuring norms", len(order_N2), "contexts")
    norms, is_token = [], []
    for batch in reading.run(texts, order_N2):
        norms.append(batch.norms[0])
        is_token.append(batch.is_counted_BT)
        progress.advance(len(batch.is_token_BT))
    return median_norm(norms, is_token), len(order_N2)


def _fill(
    reading: Reading,
    texts: Texts,
    order_N2: np.ndarray,
    limits: tuple[float | None, ...],
    writer: ShardWriter,
    progress: Progress,
) -> Counts:
    """Run everything and write what is included."""
    counts = Counts()
    progress.phase("Caching activations", int(texts.lengths(order_N2).sum()), "tokens")
    started = time.perf_counter()
    for batch in reading.run(texts, order_N2):
        included_BT = batch.included(limits)
        writer.add(*_rows(batch, included_BT))
        counts.run += int(batch.is_token_BT.sum())
        counts.first += len(included_BT)
        counts.sinks += batch.sink_count(included_BT)
        counts.special += batch.special_count()
        counts.seconds = time.perf_counter() - started
        progress.reach(counts.run, f"{counts.run / counts.seconds:,.0f} tokens/s")
    return counts


def _rows(batch: Harvested, included_BT: Tensor) -> tuple[Tensor, ...]:
    return tuple(x_BTD[included_BT] for x_BTD in batch.x)


def _hold_out(
    reading: Reading,
    inputs: ActivationCacheInputs,
    limits: tuple[float | None, ...],
    kept_tokens: int,
    progress: Progress,
) -> int:
    """Write rows of some held-out contexts; returns how many."""
    texts = Texts.open(inputs.tokenization_dirs, "heldout")
    most = int(min(HELD_OUT_TOKENS, HELD_OUT_SHARE * kept_tokens))
    order_N2 = _within(most, texts, ContextOrder(texts.sizes, seed=SAMPLE_SEED))
    progress.phase("Caching held-out activations", len(order_N2), "contexts")

    def rows() -> Iterator[tuple[Tensor, ...]]:
        for batch in reading.run(texts, order_N2):
            yield _rows(batch, batch.included(limits))
            progress.advance(len(batch.is_token_BT))

    return held_out_write(inputs.out_dir, rows())
