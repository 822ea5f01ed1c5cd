"""What a training needs of its device's memory, from shapes alone: one formula for the page's estimate and the engine's check.

    state   of every SAE: weights, gradient and Adam's two moments, an average when one is kept            stays
    stream  of every hook site: the batch, and a copy while it is prepared                                 stays
    step    of the largest SAE, for one micro-batch: matrices over (chunk of its tokens, latents), lists
            of pairs that fire, matrices over (tokens, width), copies of the weights                       comes and goes
    finish  of the largest SAE, on the machine itself: the finished weights, for charts and at the end     comes and goes

SAEs of a sweep step one after the other, so their states add up and the largest step counts once. The language model of a
training on text comes on top (specs/memory_estimate.py), and so does a cache that is read into the machine's memory.

The numbers are what the steps in engine/saes were measured to hold at their peak; tests hold them within 25 %. All work
through a batch in chunks (saes/encoder_chunks.py). Standard and its like finish each chunk while many latents fire, and keep
lists of pairs, longer the larger L0, once few do: the larger of the two counts, with the longest list. Products in bfloat16
need no less: beside them stand matrices of scores in float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from workers.engine.specs.training import TrainSpec

FLOAT32 = 4
STATE_COPIES = 4
"""Weights, gradient, Adam's first and second moments."""
STREAM_BLOCKS = 2
MOST_LATENTS = 1_048_576


FINISH_COPIES = 3
CHUNK_ELEMENTS = 2**22
"""Of (tokens, latents), on the CPU; a chunk has SMALLEST_CHUNK tokens at least."""
GPU_CHUNK_ELEMENTS = 2**26
SMALLEST_CHUNK = 128


@dataclass(frozen=True)
class StepBlocks:
    """What one step of an architecture holds at its peak."""

    width: float
    """Matrices (micro-batch, d_in) in float32."""
    weights: float
    """Copies of all weights in float32."""
    chunk: float = 0
    """Matrices (chunk, d_sae) in float32."""
    pairs: float = 0
    """The longest lists of pairs, in matrices (micro-batch, d_sae) of float32."""


BLOCKS = {
    "topk": StepBlocks(chunk=0.7, width=5.5, weights=0.4),
    "batchtopk": StepBlocks(chunk=3.9, width=5.5, weights=0.4),
    "matryoshka": StepBlocks(chunk=3.8, width=6.5, weights=0.4),
    "standard": StepBlocks(chunk=3.3, pairs=1.6, width=1.3, weights=0.1),
    "jumprelu": StepBlocks(chunk=6.5, pairs=2.8, width=1.3, weights=0.1),
    "gated": StepBlocks(chunk=6.3, pairs=2.0, width=1.5, weights=0.1),
    "transcoder": StepBlocks(chunk=3.3, pairs=1.6, width=0.3, weights=0.1),
    "skip_transcoder": StepBlocks(chunk=3.3, pairs=1.6, width=1.3, weights=0.1),
    "skip": StepBlocks(chunk=3.3, pairs=1.6, width=2.3, weights=0.1),
}


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on the device."""

    state_bytes: int
    stream_bytes: int
    passing_bytes: int
    """The larger of a step and of finishing an SAE."""

    @property
    def total_bytes(self) -> int:
        return self.state_bytes + self.stream_bytes + self.passing_bytes


def training_memory(spec: TrainSpec, widths: Sequence[tuple[int, int]], *, device: str = "cpu") -> TrainingMemory:
    """Peak of the whole training on `device` ("cpu", "cuda:0", …).

    `widths` has (d_in, d_out) of each hook site, in the Spec's order; a cache has one site.
    """
    members = spec.members()
    per_site = len(members) // len(widths)
    sized = [(member.spec, *widths[member.index // per_site]) for member in members]
    steps = [step_bytes(*each, device=device) for each in sized]
    finishes = [FINISH_COPIES * weights_bytes(*each) if device == "cpu" else 0 for each in sized]
    return TrainingMemory(
        state_bytes=sum(state_bytes(*each) for each in sized),
        stream_bytes=sum(STREAM_BLOCKS * FLOAT32 * spec.batch_size * _streamed(spec, *width) for width in widths),
        passing_bytes=max(*steps, *finishes),
    )


def state_bytes(spec: TrainSpec, d_in: int, d_out: int) -> int:
    """One SAE with its gradient, Adam's moments and what else lives from step to step."""
    copies = STATE_COPIES + (spec.weight_average_decay is not None)
    return copies * weights_bytes(spec, d_in, d_out)


def step_bytes(spec: TrainSpec, d_in: int, d_out: int, *, device: str = "cpu") -> int:
    """What one step of one SAE holds besides its state."""
    blocks = BLOCKS[spec.architecture]
    tokens = min(spec.micro_batch_size or spec.batch_size, spec.batch_size)
    is_split = tokens < spec.batch_size
    elements = CHUNK_ELEMENTS if device == "cpu" else GPU_CHUNK_ELEMENTS
    chunk = min(tokens * spec.d_sae, max(elements, SMALLEST_CHUNK * spec.d_sae))
    dense = blocks.chunk * chunk * FLOAT32
    pairs = blocks.pairs * tokens * spec.d_sae * FLOAT32
    width = blocks.width * tokens * max(d_in, d_out) * FLOAT32
    return int(max(dense, pairs) + width + (blocks.weights + is_split) * weights_bytes(spec, d_in, d_out))


def weights_bytes(spec: TrainSpec, d_in: int, d_out: int) -> int:
    """Encoder, decoder, biases, and what an architecture has beside them, in float32."""
    latent_vectors = {"jumprelu": 2, "gated": 3}.get(spec.architecture, 1)
    beside = {"skip_transcoder": d_in * d_out, "skip": spec.skip_rank * (d_in + d_out)}.get(spec.architecture, 0)
    return FLOAT32 * ((d_in + d_out + latent_vectors) * spec.d_sae + d_out + beside)


def largest_d_sae(
    spec: TrainSpec,
    widths: Sequence[tuple[int, int]],
    room_bytes: int,
    *,
    device: str = "cpu",
) -> int:
    """The largest d_sae with which this training fits into `room_bytes`; 0 when none does. Swept widths all become it."""
    low, high = 0, MOST_LATENTS + 1
    while high - low > 1:
        middle = (low + high) // 2
        other = _with_latents(spec, middle)
        fits = training_memory(other, widths, device=device).total_bytes <= room_bytes
        low, high = (middle, high) if fits else (low, middle)
    return low


def _with_latents(spec: TrainSpec, d_sae: int) -> TrainSpec:
    """`spec` with other widths, unchecked: k may exceed them."""
    other = object.__new__(TrainSpec)
    swept = tuple(d_sae for _ in spec.sweep_d_sae)
    other.__dict__.update(spec.__dict__ | {"d_sae": d_sae, "sweep_d_sae": swept})
    return other


def _streamed(spec: TrainSpec, d_in: int, d_out: int) -> int:
    """Width of a batch: an autoencoder's targets are its inputs."""
    return d_in + d_out if spec.is_transcoder else d_in
