"""The contract of an SAE in training. Read this first, then standard.py, then topk.py; registry.py names them.

The trainer knows four things only: `weights` (one flat float32 vector), its `.grad`, `step`, which fills that gradient,
and `finished`, which makes the Sae. What a loss is made of stays inside the architecture.

`step` here is plain autograd through `losses`. An architecture may override it with a faster way to the same gradients;
the contract test compares both.

Losses follow SAELens: squared error summed over d_in, mean over tokens, all on normalised activations.
Initialisation too: decoder rows Kaiming-uniform, then brought to length 0.1; W_enc the same rows; biases 0. Training
then moves b_dec to the mean activation (`center`), which SAELens does not: where the mean is as long as what varies, 0
costs thousands of steps and most latents (on synthetic activations FVU .57 against .32 after 2,000 steps).

Shapes: B tokens of the batch, D d_in, F d_sae. Here W_enc lies as (F, D), one row for each latent, like W_dec.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from workers.engine.saes.sae import Sae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainSpec

DECODER_INIT_NORM = 0.1


class Parameters(NamedTuple):
    """The four parameters, or their gradients."""

    W_enc: Tensor
    W_dec: Tensor
    b_enc: Tensor
    b_dec: Tensor


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
    """The terms of `loss`, coefficients included: mse (always there), l1, aux."""
    fired_F: Tensor
    """int64: on how many tokens of the batch each latent fired."""


class TrainingSae(ABC):
    """Weights, gradients and one step. `matmul_dtype` is the precision of the large products; weights stay float32."""

    NAME: ClassVar[str]
    LOSSES: ClassVar[tuple[str, ...]]
    """Names of the loss terms that `losses` returns."""

    def __init__(
        self,
        spec: TrainSpec,
        d_in: int,
        *,
        device: str | torch.device = "cpu",
        matmul_dtype: torch.dtype = torch.float32,
    ) -> None:
        self.spec, self.d_in, self.d_sae, self.matmul_dtype = spec, d_in, spec.d_sae, matmul_dtype
        self.weights = torch.zeros(2 * d_in * spec.d_sae + spec.d_sae + d_in, device=device)
        self.weights.grad = torch.zeros_like(self.weights)
        self.parameters = self._views(self.weights)
        self.gradients = self._views(self.weights.grad)
        self._initialize(torch.Generator().manual_seed(spec.seed))

    @abstractmethod
    def losses(self, parameters: Parameters, x_BD: Tensor, context: StepContext) -> tuple[dict[str, Tensor], Tensor]:
        """The loss terms as differentiable functions of `parameters`, and fired_F. `x_BD` is normalised, float32."""

    @abstractmethod
    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        """How the finished SAE encodes."""

    def step(self, x_BD: Tensor, context: StepContext) -> StepOutput:
        """Fill `weights.grad` with the gradient of the loss on `x_BD` (B, D), normalised, float32."""
        leaves = Parameters(*(p.detach().requires_grad_() for p in self.parameters))
        losses, fired_F = self.losses(leaves, x_BD, context)
        loss = torch.stack(list(losses.values())).sum()
        for gradient, computed in zip(self.gradients, torch.autograd.grad(loss, leaves)):
            gradient.copy_(computed)
        return StepOutput(loss.detach(), {name: term.detach() for name, term in losses.items()}, fired_F)

    @torch.no_grad()
    def center(self, mean_D: Tensor) -> None:
        """Start b_dec at the mean of the normalised activations (D,)."""
        self.parameters.b_dec.copy_(mean_D)

    @torch.no_grad()
    def finished(self, factor: float, hook_site: HookSite, sink_threshold: float | None) -> Sae:
        """The Sae for raw activations, on the CPU, decoder rows of length 1.

        Training saw factor·x: W_enc takes the factor, W_dec and b_dec its inverse (SAELens'
        fold_activation_norm_scaling_factor).
        """
        W_enc, W_dec, b_enc, b_dec = (p.detach().cpu() for p in self.parameters)
        sae = Sae(
            W_enc=(W_enc.T * factor).contiguous(),
            b_enc=b_enc.clone(),
            W_dec=W_dec / factor,
            b_dec=b_dec / factor,
            encode_spec=self.encode_spec(hook_site, sink_threshold),
        )
        return sae.with_unit_decoder()

    def _views(self, flat: Tensor) -> Parameters:
        D, F = self.d_in, self.d_sae
        W_enc, W_dec, b_enc, b_dec = flat.split([F * D, F * D, F, D])
        return Parameters(W_enc.view(F, D), W_dec.view(F, D), b_enc, b_dec)

    def _initialize(self, generator: torch.Generator) -> None:
        # drawn on the CPU, so that every device starts from the same weights
        W_dec_FD = torch.empty(self.d_sae, self.d_in)
        torch.nn.init.kaiming_uniform_(W_dec_FD, generator=generator)
        W_dec_FD *= DECODER_INIT_NORM / W_dec_FD.norm(dim=-1, keepdim=True)
        self.parameters.W_dec.copy_(W_dec_FD)
        self.parameters.W_enc.copy_(W_dec_FD)
