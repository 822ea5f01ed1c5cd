"""PairwiseTrainingSae: a step whose work shrinks with L0, for architectures where any number of latents may fire.

`losses` stays the reference by autograd; `step` reaches the same gradients by hand:

1. one encoder product, chunk by chunk, so that no (B, F) matrix is ever whole;
2. the latents that fire in the first chunk decide: above DENSE_SHARE of all, each chunk is finished densely, its products
   added to the gradients; below, only the pairs that matter are kept, and the rest of the step touches nothing else
   (pairs.py). With products in bfloat16 their pre-activations are computed again in float32;
3. b_dec reaches the encoder only through p, where it acts like -W_enc on the bias: its gradient there is -∂bias W_enc,
   one vector, where autograd would multiply a sixth time.

An architecture says which pairs matter (`_floor`) and what they do (`_learn`), once for both ways. What decides depends
on the batch and the weights alone, so a resumed run repeats it.

Shapes: B tokens, C tokens of a chunk, D d_in, E d_out, F d_sae; V (C, F) or (N,), see pairs.py.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from workers.engine.saes.base import Batch, StepContext, StepOutput, TrainingSae
from workers.engine.saes.encoder_chunks import EncoderChunks
from workers.engine.saes.pairs import ActivePairs, DensePairs, Pairs
from workers.engine.specs.schedule import sparsity_coefficient_at

SMALLEST_NORM = 1e-30
DENSE_SHARE = 0.1
"""Above this share of pairs that matter, dense products are faster (measured: d_in 576, d_sae 4608, one CPU thread)."""


class Piece(NamedTuple):
    """Tokens that `_learn` works on."""

    pairs: Pairs
    p_V: Tensor
    """Their pre-activations; may be overwritten."""
    centred_BD: Tensor
    """What the encoder multiplied."""
    y_BE: Tensor
    per_token: float
    """1 / (tokens of the batch)."""
    norm_F: Tensor
    """Lengths of the decoder rows."""
    coefficient: float
    """Of the sparsity term, at this step."""


class Learned(NamedTuple):
    """What `_learn` returns beside the gradients that it adds."""

    losses: dict[str, Tensor]
    """This piece's share of the terms."""
    fired_F: Tensor
    d_norm_F: Tensor | None = None
    """∂loss/∂norm_F, where a term is weighted by the rows' lengths."""


class PairwiseTrainingSae(TrainingSae):
    """Base of Standard, Gated and JumpReLU."""

    SUBTRACTS_B_DEC: ClassVar[bool] = True
    """Whether the encoder reads x - b_dec; transcoders read x."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._chunks = EncoderChunks()

    @abstractmethod
    def _bias(self) -> Tensor:
        """(F,): p = centred W_encᵀ + this."""

    @abstractmethod
    def _floor(self) -> Tensor:
        """(F,): a pair with p at or below neither fires nor gives a gradient. NaN is not below, lest it pass unseen."""

    @abstractmethod
    def _learn(self, piece: Piece) -> Learned:
        """Add the gradients of this piece; b_dec's way through the encoder and rows' lengths are added elsewhere."""

    @abstractmethod
    def _bias_gradient(self) -> Tensor:
        """(F,): once all is learned, Σ over tokens of ∂loss/∂(centred W_encᵀ)."""

    def _learn_rest(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Terms that are no sum over touched pairs; adds all of their gradients."""
        return {}

    @torch.no_grad()
    def step(self, batch: Batch, context: StepContext) -> StepOutput:
        self.weights.grad.zero_()
        W_dec, to_W_dec = self.parameters.W_dec, self.gradients.W_dec
        norm_F = W_dec.norm(dim=-1)
        learned = [self._learn(piece) for piece in self._pieces(batch, context, norm_F)]
        if learned[0].d_norm_F is not None:
            d_norm_F = torch.stack([part.d_norm_F for part in learned]).sum(0)
            to_W_dec.addcmul_(W_dec, (d_norm_F / norm_F.clamp(min=SMALLEST_NORM))[:, None])
        if self.SUBTRACTS_B_DEC:
            self.gradients.b_dec.sub_(self._bias_gradient() @ self.parameters.W_enc)
        losses = {name: torch.stack([part.losses[name] for part in learned]).sum() for name in learned[0].losses}
        losses |= self._learn_rest(batch, context)
        fired_F = torch.stack([part.fired_F for part in learned]).sum(0)
        return StepOutput(torch.stack(list(losses.values())).sum(), losses, fired_F, {})

    def _reconstruct(self, piece: Piece, pairs: Pairs, f_V: Tensor) -> tuple[Tensor, Tensor]:
        """The squared error of f W_dec + b_dec, this piece's share, and its gradient (B, E); b_dec's is added."""
        error_BE = pairs.decode(f_V, self.parameters.W_dec).add_(self.parameters.b_dec).sub_(piece.y_BE)
        mse = error_BE.square().sum() * piece.per_token
        d_x_hat_BE = error_BE.mul_(2 * piece.per_token)
        self.gradients.b_dec.add_(d_x_hat_BE.sum(0))
        return mse, d_x_hat_BE

    def _pieces(self, batch: Batch, context: StepContext, norm_F: Tensor) -> Iterator[Piece]:
        """The batch chunk by chunk with all pairs, or at once with those that matter."""
        centred_BD = batch.x_BD - self.parameters.b_dec if self.SUBTRACTS_B_DEC else batch.x_BD
        shared = (1 / len(centred_BD), norm_F, sparsity_coefficient_at(context.step, self.spec))
        active: list[tuple[ActivePairs, Tensor]] = []
        is_dense = None
        floor_F = self._floor()
        for first, p_CF in self._chunks.of(centred_BD, self.parameters.W_enc, self._bias(), self.matmul_dtype):
            if is_dense is None:
                is_dense = int((p_CF <= floor_F).count_nonzero()) < (1 - DENSE_SHARE) * p_CF.numel()
            if is_dense:
                rows = slice(first, first + len(p_CF))
                pairs = DensePairs(self.matmul_dtype)
                yield Piece(pairs, p_CF.float(), centred_BD[rows], batch.y_BE[rows], *shared)
            else:
                active.append(ActivePairs.above(p_CF, floor_F, first, self.rows))
        if active:
            pairs = ActivePairs.joined([pairs for pairs, _ in active])
            p_N = torch.cat([p_N for _, p_N in active])
            if p_N.dtype != torch.float32:
                p_N = pairs.dot(centred_BD, self.parameters.W_enc) + pairs.of_latent(self._bias())
            yield Piece(pairs, p_N, centred_BD, batch.y_BE, *shared)
