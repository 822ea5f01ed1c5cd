"""The contract of an SAE in training. Read this first, then standard.py, then topk.py; registry.py names them.

The trainer knows five things only: `weights` (one flat float32 vector), its `.grad`, `step`, which fills that gradient,
`after_update`, which follows each optimiser step, and `finished`, which makes the Sae. What a loss is made of stays inside
the architecture, and so do numbers that are kept but not learned by gradient (`kept`).

`step` here is plain autograd through `losses`. An architecture may override it with a faster way to the same gradients;
the contract test compares both.

Losses follow SAELens: squared error summed over the width, mean over tokens, all on normalised activations.
Initialisation too: decoder rows Kaiming-uniform, then brought to length 0.1; W_enc the same rows; biases 0. Training
then moves b_dec to the mean activation (`center`) where that is long, which SAELens does not: where its square is of the
order of the variance, 0 costs thousands of steps and many latents (SmolLM2, block 15, 1.3 times the variance: FVU .216 and
40 % dead against .189 and 1 %, after equal steps). Where it is short (SAELens' mini world: 0.1 times), 0 is the better start:
MCC .762 against .720 after a million samples.

Two options hold for every architecture, because they are done here, after its own `step` and `after_update`:

    decoder            frozen: W_dec keeps the directions and lengths it started with; random: drawn apart from the encoder,
                       then frozen. Its gradient is set to 0, which leaves Adam's moments at 0 and the weights bit by bit.
    normalize_decoder  rows start at length 1; each step takes the part of a row's gradient along the row away, each update
                       brings the row back to length 1 (Bricken et al. 2023). Encoder rows start at 0.1 all the same: at 1
                       every token overshoots at first, and Standard finds less (a planted dictionary: MCC .71, not .98).

Shapes: B tokens of the batch, D d_in, E d_out (D for autoencoders), F d_sae. Here W_enc lies as (F, D), one row for each
latent, like W_dec (F, E).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from workers.engine.saes.encoding import RUNTIME_NORMALIZATIONS, SMALLEST_NORM
from workers.engine.saes.sae import Sae
from workers.engine.saes.sparse_rows import rows_for
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

    def __init_subclass__(cls, **options: Any) -> None:
        """Hold the decoder after the subclass's own step and update, whatever way they take."""
        super().__init_subclass__(**options)
        for name, hold in (("step", cls._hold_gradient), ("after_update", cls._hold_rows)):
            if name in vars(cls):
                setattr(cls, name, _then(vars(cls)[name], hold))

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
        self.rows = rows_for(device)
        """How sparse steps work on rows; other ways differ in the last bits."""
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

    def inference_tensors(self, parameters: Any) -> dict[str, Tensor]:
        """Tensors of the finished SAE by SAELens' names, still for normalised activations; W_enc lies as here, (F, D).

        The parameters themselves, unless inference has others: a calibrated threshold, a folded bias.
        """
        return parameters._asdict()

    @abstractmethod
    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        """How the finished SAE encodes; `finished` adds the normalisation of each token."""

    def step(self, batch: Batch, context: StepContext) -> StepOutput:
        """Fill `weights.grad` with the gradient of the loss on `batch`."""
        leaves = type(self.parameters)(*(p.detach().requires_grad_() for p in self.parameters))
        losses, fired_F, reported = self.losses(leaves, batch, context)
        loss = torch.stack(list(losses.values())).sum()
        computed = torch.autograd.grad(loss, leaves, materialize_grads=True)
        for gradient, new in zip(self.gradients, computed):
            gradient.copy_(new)
        self._hold_gradient()
        return StepOutput(loss.detach(), {name: term.detach() for name, term in losses.items()}, fired_F, reported)

    def after_update(self, context: StepContext) -> None:
        """Bring the weights back to where the architecture allows them, after the optimiser moved them."""
        self._hold_rows()

    def calibrate(self, x_ND: Tensor) -> None:  # noqa: B027  most have nothing to do
        """Fix what inference needs and training does not give, on normalised held-out activations (N, D). Once, at the end."""

    @torch.no_grad()
    def center(self, mean_D: Tensor, target_mean_E: Tensor | None = None) -> None:
        """Start b_dec at the mean of the normalised activations (D,); transcoders: at that of their targets (E,)."""
        self.parameters.b_dec.copy_(mean_D if target_mean_E is None else target_mean_E)

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

        Training saw factor·x and answered target_factor·y (an autoencoder's is the same): weights that read x take the
        factor, weights that answer the inverse of the other (SAELens' fold_activation_norm_scaling_factor); biases and
        thresholds of latents stay. `weights`, flat, stand in for the last ones (an average of them).
        """
        parameters = self.parameters if weights is None else _views(weights, self.shapes())
        tensors = {name: t.detach().cpu().clone() for name, t in self.inference_tensors(parameters).items()}
        answer = 1 / (target_factor or factor)
        tensors["W_enc"] = (tensors["W_enc"].T * factor).contiguous()
        tensors["W_dec"] *= answer
        tensors["b_dec"] *= answer
        if "W_skip" in tensors:
            tensors["W_skip"] *= factor * answer
        how = self.spec.normalize_activations
        spec = self.encode_spec(hook_site, sink_threshold)
        if how in RUNTIME_NORMALIZATIONS:
            spec = replace(spec, normalize_activations=how)
        return Sae(**{"b_enc": None} | tensors, encode_spec=spec).with_unit_decoder()

    def _initialize(self, generator: torch.Generator) -> None:
        W_enc_FD = self._random_rows(self.d_in, generator)
        is_drawn_apart = self.spec.decoder == "random" or self.d_out != self.d_in
        W_dec_FE = self._random_rows(self.d_out, generator) if is_drawn_apart else W_enc_FD
        self.parameters.W_enc.copy_(W_enc_FD)
        self.parameters.W_dec.copy_(W_dec_FE / DECODER_INIT_NORM if self.spec.normalize_decoder else W_dec_FE)

    def _random_rows(self, width: int, generator: torch.Generator) -> Tensor:
        """(F, width) rows of length DECODER_INIT_NORM, drawn on the CPU, so that every device starts alike."""
        rows = torch.empty(self.d_sae, width)
        torch.nn.init.kaiming_uniform_(rows, generator=generator)
        return rows * (DECODER_INIT_NORM / rows.norm(dim=-1, keepdim=True))

    @torch.no_grad()
    def _hold_gradient(self) -> None:
        """Take from the gradient what the decoder must not learn."""
        gradient, W_dec = self.gradients.W_dec, self.parameters.W_dec
        if self.spec.decoder != "trained":
            gradient.zero_()
        elif self.spec.normalize_decoder:
            gradient -= (gradient * W_dec).sum(-1, keepdim=True) * W_dec

    @torch.no_grad()
    def _hold_rows(self) -> None:
        """Bring decoder rows back to length 1, where that is asked for and they are free to move."""
        if self.spec.normalize_decoder and self.spec.decoder == "trained":
            W_dec = self.parameters.W_dec
            W_dec /= W_dec.norm(dim=-1, keepdim=True).clamp(min=SMALLEST_NORM)


def _then(method: Callable[..., Any], hold: Callable[[TrainingSae], None]) -> Callable[..., Any]:
    """`method`, followed by hold(self)."""

    @wraps(method)
    def held(self: TrainingSae, *arguments: Any) -> Any:
        result = method(self, *arguments)
        hold(self)
        return result

    return held


def _views(flat: Tensor, shapes: Any) -> Any:
    """A tuple like `shapes` of views into `flat`."""
    pieces = flat.split([torch.Size(shape).numel() for shape in shapes])
    return type(shapes)(*(piece.view(shape) for piece, shape in zip(pieces, shapes)))
