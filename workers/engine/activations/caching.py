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
from workers.engine.language_models.loading import language_model_load, quantization_resolve
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
    "tokenizer_mismatch", "context_too_long", "contexts_too_short", "not_finite", those of `hook_point`, DiskFull,
    BadArtifact, OutOfMemory.
    """
    progress.phase("Loading the language model")
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )
    contexts = _contexts_to_run(spec, inputs, model)
    d_in = hook_point(model, spec.hook_site).width
    disk_require(inputs.out_dir, contexts.token_count * d_in * torch.bfloat16.itemsize)
    writer, counts = ShardWriter(inputs.out_dir, d_in), Counts()
    progress.phase("Caching activations", contexts.token_count, "tokens")
    started = time.perf_counter()
    try:
        median = _fill(spec, model, contexts, writer, counts, progress)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"{inputs.device} ran out of memory with {spec.batch_contexts} contexts at once.",
            "Choose fewer contexts at once, or a device with more memory.",
        ) from error
    writer.close()
    result = ActivationCacheResult(
        tokens=writer.tokens,
        tokens_run=counts.run,
        contexts=len(contexts),
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
        quantization=quantization_resolve(inputs.quantization, inputs.model_dir),
    )
    (Path(inputs.out_dir) / NUMBERS_NAME).write_text(json.dumps(result.to_json(), indent=2), "utf-8")
    return result


def _contexts_to_run(spec: ActivationCacheSpec, inputs: ActivationCacheInputs, model: PreTrainedModel) -> Contexts:
    """Whole contexts, `max_tokens` tokens at most but one context at least, checked against the model."""
    contexts = Contexts.open(inputs.tokenization_dir, "train")
    if not len(contexts):
        raise BadArtifact("The tokenization has no contexts.", "Tokenize more text.")
    contexts = contexts[: max(1, contexts.count_within(spec.max_tokens))]
    vocab_size = model.get_input_embeddings().weight.shape[0]
    largest = int(contexts.tokens.max())
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
    return contexts


def _fill(
    spec: ActivationCacheSpec,
    model: PreTrainedModel,
    contexts: Contexts,
    writer: ShardWriter,
    counts: Counts,
    progress: Progress,
) -> float:
    """Run everything and write what is included; returns the median norm. The first batches wait for it."""
    sample_contexts = min(len(contexts), -(-THRESHOLD_TOKENS // (contexts.context_length - 1)))
    waiting: list[tuple[Tensor, Tensor]] = []
    median: float | None = None
    done = 0
    started = time.perf_counter()
    for x_BTD, is_token_BT in _captured(spec, model, contexts):
        waiting.append((x_BTD, is_token_BT))
        done += len(x_BTD)
        counts.run += int(is_token_BT.sum())
        if median is None and done >= sample_contexts:
            median = _median_norm(waiting, sample_contexts)
        if median is not None:
            for x, is_token in waiting:
                _keep(x, is_token, SINK_FACTOR * median, writer, counts)
            waiting.clear()
        progress.reach(counts.run, f"{counts.run / (time.perf_counter() - started):,.0f} tokens/s")
    return median


def _captured(spec: ActivationCacheSpec, model: PreTrainedModel, contexts: Contexts) -> Iterator[tuple[Tensor, Tensor]]:
    """Activations (B, T, D) and which places are tokens (B, T), batch by batch."""
    for start in range(0, len(contexts), spec.batch_contexts):
        batch = contexts[start : start + spec.batch_contexts]
        x_BTD = capture(model, torch.from_numpy(batch.tokens.astype(np.int64)), spec.hook_site)
        yield x_BTD, torch.from_numpy(batch.is_token).to(x_BTD.device)


def _median_norm(batches: list[tuple[Tensor, Tensor]], contexts: int) -> float:
    """Over the tokens of the first contexts but for their position 0."""
    norms_NT = torch.cat([position_norms(x) for x, _ in batches])[:contexts]
    is_token_NT = torch.cat([is_token for _, is_token in batches])[:contexts]
    norms = norms_NT[:, 1:][is_token_NT[:, 1:]]
    if not len(norms):
        raise EngineError(
            "The contexts have one token each: nothing is left without position 0.",
            "Tokenize with longer contexts or documents.",
            code="contexts_too_short",
        )
    return norms.median().item()


def _keep(x_BTD: Tensor, is_token_BT: Tensor, sink_threshold: float, writer: ShardWriter, counts: Counts) -> None:
    """Write the included positions and count the others."""
    norms_BT = position_norms(x_BTD)
    if not norms_BT.isfinite().all():
        raise EngineError(
            "The language model gives infinite numbers or NaN at this hook site.",
            "Choose float32 as the model's precision; if it stays so, the model's weights are damaged.",
            code="not_finite",
        )
    included_BT = included_positions(norms_BT, sink_threshold, is_token_BT)
    writer.add(x_BTD[included_BT])
    counts.first += len(x_BTD)
    counts.sinks += int((is_token_BT & ~included_BT)[:, 1:].sum())
