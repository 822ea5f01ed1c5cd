"""The contract of an SAE in training. Read this first, then standard.py, then topk.py; registry.py names them.

The trainer knows five things only: `weights` (one flat float32 vector), its `.grad`, `step`, which fills that gradient,
`after_update`, which follows each optimiser step, and `finished`, which makes the Sae. What a loss is made of stays inside
the architecture, and so do numbers that are kept but not learned by gradient (`kept`).

`step` here is plain autograd through `losses`. An architecture may override it with a faster way to the same gradients;
the contract test compares both.

Losses follow SAELens: squared error summed over the width, mean over tokens, all on normalised activations.
Initialisation too: decoder rows Kaiming-uniform, then brought to length 0.1; W_enc the same rows; biases 0. Training
then moves b_dec to the mean activation (`center`), which SAELens does not: where the mean is as long as what varies, 0
costs thousands of steps and most latents (on synthetic activations FVU .57 against .32 after 2,000 steps).

Shapes: B tokens of the batch, D d_in, E d_out (D for autoencoders), F d_sae. Here W_enc lies as (F, D), one row for each
latent, like W_dec (F, E).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from workers.engine.saes.sae import Sae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainSpec

DECODER_INIT_NORM = 0.1


class Parameters(NamedTuple):
    """The usual four parameters, their shapes, or their gradients. An architecture with others has its own such tuple."""

    W_enc: Any
    W_dec: Any
    b_enc: Any
    b_dec: Any


class Batch(NamedTuple):
    """What one step learns from, normalised, float32. An autoencoder's `y_BE` is its `x_BD`, the same tensor."""

    x_BD: Tensor
    y_BE: Tensor


@dataclass(frozen=True)
class StepContext:
    """What a step knows beyond its batch."""

    step: int
    """Counted from 0."""
    dead_F: Tensor | None = None
    """True for latents that have been silent too long; None while none can be."""


@dataclass(frozen=True)
class StepOutput:
    """What a step tells; all tensors, so that reading them is the trainer's choice (each read waits for the device)."""

    loss: Tensor
    losses: dict[str, Tensor]
    """The terms of `loss`, coefficients included: mse (always there), l1, l0, aux, …"""
    fired_F: Tensor
    """int64: on how many tokens of the batch each latent fired."""
    reported: dict[str, Tensor]
    """Further numbers for the charts, named in REPORTED; no terms of the loss."""


class TrainingSae(ABC):
    """Weights, gradients and one step. `matmul_dtype` is the precision of the large products; weights stay float32.

    `spec` is a member's (TrainSpec.members): its d_sae, k, coefficients and seed are single values.
    """

    NAME: ClassVar[str]
    LOSSES: ClassVar[tuple[str, ...]]
    """Names of the loss terms that `losses` returns."""
    REPORTED: ClassVar[tuple[str, ...]] = ()
    """Names of further numbers that `losses` reports."""

    def __init__(
        self,
        spec: TrainSpec,
        d_in: int,
        d_out: int | None = None,
        *,
        device: str | torch.device = "cpu",
        matmul_dtype: torch.dtype = torch.float32,
    ) -> None:
        self.spec, self.d_in, self.d_out, self.d_sae = spec, d_in, d_out or d_in, spec.d_sae
        self.matmul_dtype = matmul_dtype
        shapes = self.shapes()
        self.weights = torch.zeros(sum(torch.Size(shape).numel() for shape in shapes), device=device)
        self.weights.grad = torch.zeros_like(self.weights)
        self.parameters = _views(self.weights, shapes)
        self.gradients = _views(self.weights.grad, shapes)
        self.kept: dict[str, Tensor] = {}
        """What decides further steps beside the weights (a running threshold): saved in every checkpoint, restored in place."""
        self._initialize(torch.Generator().manual_seed(spec.seed))

    def shapes(self) -> Any:
        """A tuple like Parameters with the shape of each parameter."""
        D, E, F = self.d_in, self.d_out, self.d_sae
        return Parameters(W_enc=(F, D), W_dec=(F, E), b_enc=(F,), b_dec=(E,))

    @abstractmethod
    def losses(
        self, parameters: Any, batch: Batch, context: StepContext
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """The loss terms as differentiable functions of `parameters`, fired_F, and what REPORTED names."""

    @abstractmethod
    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        """How the finished SAE encodes."""

    def step(self, batch: Batch, context: StepContext) -> StepOutput:
        """Fill `weights.grad` with the gradient of the loss on `batch`."""
        leaves = type(self.parameters)(*(p.detach().requires_grad_() for p in self.parameters))
        losses, fired_F, reported = self.losses(leaves, batch, context)
        loss = torch.stack(list(losses.values())).sum()
        computed = torch.autograd.grad(loss, leaves, materialize_grads=True)
        for gradient, new in zip(self.gradients, computed):
            gradient.copy_(new)
        return StepOutput(loss.detach(), {name: term.detach() for name, term in losses.items()}, fired_F, reported)

    def after_update(self, context: StepContext) -> None:  # noqa: B027  most have nothing to do
        """Bring the weights back to where the architecture allows them, after the optimiser moved them."""

    def calibrate(self, x_ND: Tensor) -> None:  # noqa: B027  most have nothing to do
        """Fix what inference needs and training does not give, on normalised held-out activations (N, D). Once, at the end."""

    @torch.no_grad()
    def center(self, mean_D: Tensor, target_mean_E: Tensor | None = None) -> None:
        """Start b_dec at the mean of the normalised activations (D,); transcoders: at that of their targets (E,)."""
        self.parameters.b_dec.copy_(mean_D)

    @torch.no_grad()
    def finished(
        self,
        factor: float,
        hook_site: HookSite,
        sink_threshold: float | None,
        *,
        target_factor: float | None = None,
        weights: Tensor | None = None,
    ) -> Sae:
        """The Sae for raw activations, on the CPU, decoder rows of length 1.

        Training saw factor·x: W_enc takes the factor, W_dec and b_dec its inverse (SAELens'
        fold_activation_norm_scaling_factor). `target_factor` is that of a transcoder's targets; `weights`, flat, stand in
        for the last ones (an average of them).
        """
        parameters = self.parameters if weights is None else _views(weights, self.shapes())
        W_enc, W_dec, b_enc, b_dec = (p.detach().cpu() for p in parameters)
        sae = Sae(
            W_enc=(W_enc.T * factor).contiguous(),
            b_enc=b_enc.clone(),
            W_dec=W_dec / factor,
            b_dec=b_dec / factor,
            encode_spec=self.encode_spec(hook_site, sink_threshold),
        )
        return sae.with_unit_decoder()

    def _initialize(self, generator: torch.Generator) -> None:
        # drawn on the CPU, so that every device starts from the same weights
        W_dec_FD = torch.empty(self.d_sae, self.d_in)
        torch.nn.init.kaiming_uniform_(W_dec_FD, generator=generator)
        W_dec_FD *= DECODER_INIT_NORM / W_dec_FD.norm(dim=-1, keepdim=True)
        self.parameters.W_dec.copy_(W_dec_FD)
        self.parameters.W_enc.copy_(W_dec_FD)


def _views(flat: Tensor, shapes: Any) -> Any:
    """A tuple like `shapes` of views into `flat`."""
    pieces = flat.split([torch.Size(shape).numel() for shape in shapes])
    return type(shapes)(*(piece.view(shape) for piece, shape in zip(pieces, shapes)))
