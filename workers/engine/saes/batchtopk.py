"""BatchTopK: k latents for each token on average; the batch as a whole decides which, so rich tokens may use more.

Bussmann, Leask, Nanda 2024, "BatchTopK sparse autoencoders" (arXiv:2412.06410), in the form of SAELens'
`BatchTopKTrainingSAE` with rescale_acts_by_decoder_norm:

    p    = (x - b_dec) W_encᵀ + b_enc
    f    = relu(p) at the k·B pairs (token, latent) of the batch with the largest p_i ‖W_dec,i‖, 0 elsewhere
    x̂    = f W_dec + b_dec
    mse  = mean_B ‖x̂ - x‖²
    aux  as in TopK (topk.py)

Inference knows no batch: the finished SAE is a JumpReLU whose latents fire where p_i ‖W_dec,i‖ > θ. `calibrate` takes θ from
held-out activations, such that k latents fire for each of their tokens on average. Until then θ is a running mean of the
smallest value that the batches chose, SAELens' way; that mean leans towards the batches where much fires, and L0 with it
misses k by some per cent.

`losses` is the above, dense, by autograd: the reference. `step` gives the same gradients from the chosen pairs alone, found
chunk by chunk as in TopK: what is not among the k·B largest so far cannot be among them in the end. The running θ, lowered,
sorts out most pairs from the start; when it leaves too few, all are gone through once more without it, so θ never decides
the outcome. Everything else works on the list of pairs (pairs.py).

Matryoshka (matryoshka.py) is the same with several nested reconstructions; `levels` has one here.

Shapes: B tokens, D d_in, F d_sae, N pairs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from workers.engine.saes.base import Batch, Parameters, StepContext, StepOutput
from workers.engine.saes.pairs import ActivePairs
from workers.engine.saes.topk import TopKTrainingSae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite

THRESHOLD_RATE = 0.01
"""Weight of the newest batch in the running threshold; SAELens topk_threshold_lr."""
LOWERED = 0.8
"""Share of the running threshold below which no pair is looked at, unless the batch has too few above."""
ROUNDING = 1e-6
"""By how much p ‖W_dec,i‖ > θ and p > θ / ‖W_dec,i‖ may differ."""
CALIBRATION_ELEMENTS = 2**22
"""(tokens, latents) that `calibrate` holds at once."""


class BatchTopKTrainingSae(TopKTrainingSae):
    NAME = "batchtopk"
    LOSSES = ("mse", "aux")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.kept["threshold"] = torch.zeros((), dtype=torch.float64, device=self.weights.device)

    def levels(self) -> tuple[int, ...]:
        """How many latents each reconstruction uses, growing up to d_sae."""
        return (self.d_sae,)

    def losses(
        self, parameters: Parameters, batch: Batch, context: StepContext
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        x_BD = batch.x_BD
        W_enc, W_dec, b_enc, b_dec = parameters
        p_BF = linear(x_BD - b_dec, W_enc, b_enc)
        score_BF = (p_BF * W_dec.norm(dim=-1)).detach().relu()
        chosen_N = score_BF.flatten().topk(self.spec.k * len(x_BD), sorted=False).indices
        f_BF = torch.zeros_like(p_BF).flatten().scatter(0, chosen_N, p_BF.flatten()[chosen_N].relu()).view_as(p_BF)
        errors = [f_BF[:, :width] @ W_dec[:width] + b_dec - x_BD for width in self.levels()]
        terms = self._terms([error_BD.square().sum(-1).mean() for error_BD in errors])
        aux = torch.zeros_like(terms["mse"])
        if (dead_X := self._dead(context)) is not None:
            aux = self._aux(p_BF[:, dead_X], W_dec[dead_X], -errors[-1].detach())
        return {**terms, "aux": aux}, (f_BF.detach() > 0).sum(0), {}

    @torch.no_grad()
    def step(self, batch: Batch, context: StepContext) -> StepOutput:
        x_BD = batch.x_BD
        centred_BD = x_BD - self.parameters.b_dec
        pairs, p_N = self._choose(centred_BD)
        f_N = p_N.relu_()
        groups = self._groups(pairs)
        errors = self._errors(x_BD, f_N, groups)
        terms = self._terms([error_BD.square().sum() / len(x_BD) for error_BD in errors])
        residual_BD = -errors[-1]
        self._fill_pair_gradients(centred_BD, f_N, groups, errors)
        self._follow_threshold(f_N, pairs)
        aux = torch.zeros_like(terms["mse"])
        if (dead_X := self._dead(context)) is not None:
            aux = self._add_aux_gradients(centred_BD, residual_BD, dead_X)
        losses = {**terms, "aux": aux}
        fired_F = pairs.sum_over_tokens(f_N.sign_()).long()
        return StepOutput(torch.stack(list(losses.values())).sum(), losses, fired_F, {})

    @torch.no_grad()
    def calibrate(self, x_ND: Tensor) -> None:
        """Set θ so that k latents fire for each of these tokens on average."""
        W_enc, W_dec, b_enc, b_dec = self.parameters
        norm_F = W_dec.norm(dim=-1)
        wanted = self.spec.k * len(x_ND) + 1
        largest_N = torch.zeros(0, device=x_ND.device)
        for x_CD in x_ND.split(max(1, CALIBRATION_ELEMENTS // self.d_sae)):
            score_CF = linear(x_CD - b_dec, W_enc, b_enc).mul_(norm_F)
            candidates_N = torch.cat([largest_N, score_CF[score_CF > 0]])
            largest_N = candidates_N.topk(min(wanted, len(candidates_N)), sorted=False).values
        # firing asks for more than θ: the largest value left out
        threshold = largest_N.min() if len(largest_N) == wanted else torch.zeros(())
        self.kept["threshold"].copy_(threshold)

    def inference_tensors(self, parameters: Parameters) -> dict[str, Tensor]:
        norm_F = parameters.W_dec.norm(dim=-1)
        threshold_F = self.kept["threshold"] / norm_F.double().clamp(min=torch.finfo(torch.float32).tiny)
        return {**parameters._asdict(), "threshold": threshold_F.float()}

    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        return EncodeSpec(
            architecture="jumprelu",
            d_in=self.d_in,
            d_sae=self.d_sae,
            hook_site=hook_site,
            sink_threshold=sink_threshold,
        )

    def _terms(self, errors: list[Tensor]) -> dict[str, Tensor]:
        """The loss terms from the squared error of each level."""
        return {"mse": errors[-1]}

    def _choose(self, centred_BD: Tensor) -> tuple[ActivePairs, Tensor]:
        """The k·B pairs with the largest p_i ‖W_dec,i‖ that are positive, in order of tokens, and their p in float32."""
        lowest = LOWERED * float(self.kept["threshold"])
        pairs, p_N = self._largest(centred_BD, lowest)
        if lowest > 0 and len(p_N) < self.spec.k * len(centred_BD):
            pairs, p_N = self._largest(centred_BD, 0.0)
        return pairs, self._exact(centred_BD, pairs, p_N)

    def _largest(self, centred_BD: Tensor, lowest: float) -> tuple[ActivePairs, Tensor]:
        """The pairs with the k·B largest scores above `lowest`, found in matmul_dtype; fewer when no more are above."""
        W_enc, W_dec, b_enc, _ = self.parameters
        norm_F, wanted = W_dec.norm(dim=-1), self.spec.k * len(centred_BD)
        divisor_F = norm_F.clamp(min=torch.finfo(norm_F.dtype).tiny)
        pairs, p_N = None, None
        for first, p_CF in self._chunks.of(centred_BD, W_enc, b_enc, self.matmul_dtype):
            more, p_M = ActivePairs.above(p_CF, lowest / divisor_F, first, self.rows)
            pairs, p_N = (more, p_M) if pairs is None else (ActivePairs.joined([pairs, more]), torch.cat([p_N, p_M]))
            is_last = pairs.tokens == len(centred_BD)
            if len(p_N) > (wanted if is_last else 2 * wanted):
                score_N = p_N * norm_F[pairs.latent_N]
                smallest, kept_M = _largest_places(score_N, wanted)
                pairs, p_N = pairs.taken(kept_M), p_N[kept_M]
                lowest = max(lowest, smallest * (1 - ROUNDING))
        return pairs, p_N

    def _groups(self, pairs: ActivePairs) -> list[tuple[ActivePairs, Any]]:
        """The pairs that each level adds to the one before, and what takes values of all pairs to theirs."""
        levels = self.levels()
        if len(levels) == 1:
            return [(pairs, lambda value_N: value_N)]
        bounds = zip((0, *levels), levels)
        return [pairs.only((pairs.latent_N >= low) & (pairs.latent_N < high)) for low, high in bounds]

    def _errors(self, x_BD: Tensor, f_N: Tensor, groups: list[tuple[ActivePairs, Any]]) -> list[Tensor]:
        """x̂ - x (B, D) of each level."""
        _, W_dec, _, b_dec = self.parameters
        error_BD, errors = b_dec - x_BD, []
        for pairs, of_group in groups:
            error_BD = pairs.decode(of_group(f_N), W_dec).add_(error_BD)
            errors.append(error_BD)
        return errors

    def _fill_pair_gradients(
        self, centred_BD: Tensor, f_N: Tensor, groups: list[tuple[ActivePairs, Any]], errors: list[Tensor]
    ) -> None:
        """Gradients of the summed errors of all levels: a latent answers for its own level and those above."""
        W_enc, W_dec, _, _ = self.parameters
        to_W_enc, to_W_dec, to_b_enc, to_b_dec = self.gradients
        self.weights.grad.zero_()
        d_out_BD = torch.zeros_like(centred_BD)
        for (pairs, of_group), error_BD in zip(reversed(groups), reversed(errors)):
            d_out_BD.add_(error_BD, alpha=2 / len(centred_BD))
            f_M = of_group(f_N)
            pairs.add_rows(f_M, d_out_BD, to_W_dec)
            d_p_M = pairs.dot(d_out_BD, W_dec).mul_(f_M > 0)
            pairs.add_rows(d_p_M, centred_BD, to_W_enc)
            to_b_enc.add_(pairs.sum_over_tokens(d_p_M))
        torch.sum(d_out_BD, 0, out=to_b_dec)
        to_b_dec.sub_(to_b_enc @ W_enc)

    def _follow_threshold(self, f_N: Tensor, pairs: ActivePairs) -> None:
        """Move the running θ towards the smallest positive value chosen; the first batch sets it."""
        score_N = f_N * self.parameters.W_dec.norm(dim=-1)[pairs.latent_N]
        positive_M = score_N[score_N > 0]
        if len(positive_M):
            threshold, smallest = self.kept["threshold"], positive_M.min().double()
            threshold.copy_(torch.where(threshold > 0, threshold.lerp(smallest, THRESHOLD_RATE), smallest))


def _largest_places(score_N: Tensor, count: int) -> tuple[float, Tensor]:
    """The smallest of the `count` largest values, and where these stand, ascending."""
    values, places = score_N.topk(count, sorted=False)
    return float(values.min()), places.sort().values
