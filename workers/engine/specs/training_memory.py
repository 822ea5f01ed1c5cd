"""What a training needs of its device's memory, from shapes alone: one formula for the page's estimate and the engine's check.

    state   of every SAE: weights, gradient and Adam's two moments, an average when one is kept       stays
    stream  of every hook site: the batch, and a copy while it is prepared                            stays
    step    of the largest SAE, for one micro-batch: blocks (batch, latents), blocks (batch, width),
            and copies of the weights                                                                 comes and goes

SAEs of a sweep step one after the other, so their states add up and the largest step counts once. The language model of a
training on text comes on top (specs/memory_estimate.py), and so does a cache that is read into the machine's memory.

The numbers of blocks are what the steps in engine/saes were measured to hold at their peak; tests hold them within 25 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from workers.engine.specs.training import TrainSpec

FLOAT32 = 4
STATE_COPIES = 4
"""Weights, gradient, Adam's first and second moments."""
STREAM_BLOCKS = 2


@dataclass(frozen=True)
class StepBlocks:
    """What one step of an architecture holds at its peak."""

    latent: float
    """Blocks (micro-batch, d_sae) in the precision of the products."""
    width: float
    """Blocks (micro-batch, d_in) in float32."""
    weights: float
    """Copies of all weights in float32."""


BLOCKS = {
    "topk": StepBlocks(latent=2, width=4, weights=1),
    "batchtopk": StepBlocks(latent=2, width=4, weights=1),
    "matryoshka": StepBlocks(latent=2, width=6, weights=1),
    "standard": StepBlocks(latent=4, width=4, weights=1),
    "jumprelu": StepBlocks(latent=5, width=4, weights=1),
    "gated": StepBlocks(latent=6, width=4, weights=1),
    "transcoder": StepBlocks(latent=4, width=4, weights=1),
    "skip_transcoder": StepBlocks(latent=4, width=4, weights=1),
    "skip": StepBlocks(latent=4, width=4, weights=1),
}


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on the device."""

    state_bytes: int
    stream_bytes: int
    step_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.state_bytes + self.stream_bytes + self.step_bytes


def training_memory(
    spec: TrainSpec, widths: Sequence[tuple[int, int]], *, product_bytes: int = FLOAT32
) -> TrainingMemory:
    """Peak of the whole training. `widths` has (d_in, d_out) of each hook site, in the Spec's order; a cache has one site.

    `product_bytes` is the size of a number in large products: 2 where the device multiplies bfloat16.
    """
    members = spec.members()
    per_site = len(members) // len(widths)
    sized = [(member.spec, *widths[member.index // per_site]) for member in members]
    return TrainingMemory(
        state_bytes=sum(state_bytes(*each) for each in sized),
        stream_bytes=sum(STREAM_BLOCKS * FLOAT32 * spec.batch_size * _both(*width) for width in widths),
        step_bytes=max(step_bytes(*each, product_bytes=product_bytes) for each in sized),
    )


def state_bytes(spec: TrainSpec, d_in: int, d_out: int) -> int:
    """One SAE with its gradient, Adam's moments and what else lives from step to step."""
    copies = STATE_COPIES + (spec.weight_average_decay is not None)
    return copies * weights_bytes(spec, d_in, d_out)


def step_bytes(spec: TrainSpec, d_in: int, d_out: int, *, product_bytes: int = FLOAT32) -> int:
    """What one step of one SAE holds besides its state."""
    blocks = BLOCKS[spec.architecture]
    tokens = min(spec.micro_batch_size or spec.batch_size, spec.batch_size)
    is_split = tokens < spec.batch_size
    latents = blocks.latent * tokens * spec.d_sae * product_bytes
    width = blocks.width * tokens * max(d_in, d_out) * FLOAT32
    return int(latents + width + (blocks.weights + is_split) * weights_bytes(spec, d_in, d_out))


def weights_bytes(spec: TrainSpec, d_in: int, d_out: int) -> int:
    """Encoder, decoder, biases, and what an architecture has beside them, in float32."""
    latent_vectors = {"jumprelu": 2, "gated": 3}.get(spec.architecture, 1)
    beside = {"skip_transcoder": d_in * d_out, "skip": spec.skip_rank * (d_in + d_out)}.get(spec.architecture, 0)
    return FLOAT32 * ((d_in + d_out + latent_vectors) * spec.d_sae + d_out + beside)


def largest_d_sae(
    spec: TrainSpec, widths: Sequence[tuple[int, int]], room_bytes: int, *, product_bytes: int = FLOAT32
) -> int:
    """The largest d_sae with which this training fits into `room_bytes`; 0 when none does. Swept widths grow in proportion.

    Every term is a constant plus a multiple of the latents, so two sizes give the line.
    """
    now = training_memory(spec, widths, product_bytes=product_bytes).total_bytes
    fixed = training_memory(_with_latents(spec, 0), widths, product_bytes=product_bytes).total_bytes
    return max(0, (room_bytes - fixed) * spec.d_sae // (now - fixed))


def _with_latents(spec: TrainSpec, d_sae: int) -> TrainSpec:
    """`spec` with other widths, unchecked: 0 is no SAE, but a point of the line."""
    other = object.__new__(TrainSpec)
    swept = tuple(d_sae for _ in spec.sweep_d_sae)
    other.__dict__.update(spec.__dict__ | {"d_sae": d_sae, "sweep_d_sae": swept})
    return other


def _both(d_in: int, d_out: int) -> int:
    """Width of inputs and targets together; an autoencoder's targets are its inputs."""
    return d_in if d_in == d_out else d_in + d_out
