"""TopK: k latents for each token, and AuxK, which lets dead latents explain what is left over.

Gao et al. 2024, "Scaling and evaluating sparse autoencoders" (arXiv:2406.04093), in the form of SAELens'
`TopKTrainingSAE` with rescale_acts_by_decoder_norm:

    p    = (x - b_dec) W_encᵀ + b_enc
    f    = relu(p) at the k latents with the largest p_i ‖W_dec,i‖, 0 elsewhere
    x̂    = f W_dec + b_dec
    mse  = mean_B ‖x̂ - x‖²
    aux  = c · min(n_dead / k_aux, 1) · mean_B ‖g W_dec - (x - x̂)‖²
           g = p at the k_aux dead latents with the largest p_i ‖W_dec,i‖; x - x̂ is held fixed

SAELens scales f by ‖W_dec,i‖ when encoding and divides by it when decoding: the two cancel, with their gradients, so
only the choice depends on it. Values in g keep their sign. A latent is dead after dead_after_tokens silent tokens.

`losses` is that, dense, by autograd: the reference. `step` gives the same gradients from the chosen latents alone:

1. one product of all tokens with all latents, in matmul_dtype, serves only to choose;
2. the k chosen values are computed again in float32;
3. decoder, its gradient and the encoder's gradient touch k rows a token (sparse_rows.py);
4. b_dec reaches the encoder only through p, where it acts like -W_enc on b_enc: its gradient there is -∂b_enc W_enc;
5. AuxK runs by autograd on the dead rows alone.

Shapes: B tokens, D d_in, F d_sae, K k, X dead latents.
"""

import torch
from torch import Tensor
from torch.nn.functional import linear

from workers.engine.saes.base import Batch, Parameters, StepContext, StepOutput, TrainingSae
from workers.engine.saes.sparse_rows import rows_dot, rows_scatter, rows_sum
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite


class TopKTrainingSae(TrainingSae):
    NAME = "topk"
    LOSSES = ("mse", "aux")

    _pre_BF: Tensor | None = None

    def losses(
        self, parameters: Parameters, batch: Batch, context: StepContext
    ) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        x_BD = batch.x_BD
        W_enc, W_dec, b_enc, b_dec = parameters
        p_BF = linear(x_BD - b_dec, W_enc, b_enc)
        score_BF = (p_BF * W_dec.norm(dim=-1)).detach()
        chosen_BK = score_BF.topk(self.spec.k, dim=-1, sorted=False).indices
        f_BF = torch.zeros_like(p_BF).scatter(-1, chosen_BK, p_BF.gather(-1, chosen_BK).relu())
        x_hat_BD = f_BF @ W_dec + b_dec
        mse = (x_hat_BD - x_BD).square().sum(-1).mean()
        aux = torch.zeros_like(mse)
        if (dead_X := self._dead(context)) is not None:
            residual_BD = (x_BD - x_hat_BD).detach()
            aux = self._aux(p_BF[:, dead_X], W_dec[dead_X], residual_BD)
        return {"mse": mse, "aux": aux}, (f_BF.detach() > 0).sum(0), {}

    @torch.no_grad()
    def step(self, batch: Batch, context: StepContext) -> StepOutput:
        x_BD = batch.x_BD
        W_enc, W_dec, b_enc, b_dec = self.parameters
        centred_BD = x_BD - b_dec
        chosen_BK = self._choose(centred_BD)
        value_BK = (rows_dot(centred_BD, chosen_BK, W_enc) + b_enc[chosen_BK]).relu_()
        error_BD = rows_sum(value_BK, chosen_BK, W_dec).add_(b_dec).sub_(x_BD)
        mse = error_BD.square().sum() / len(x_BD)
        fired_BK = value_BK > 0
        fired_F = torch.zeros(self.d_sae, dtype=torch.long, device=x_BD.device)
        fired_F.scatter_add_(0, chosen_BK.reshape(-1), fired_BK.reshape(-1).long())

        self._fill_gradients(centred_BD, chosen_BK, value_BK, error_BD * (2 / len(x_BD)))
        aux = torch.zeros_like(mse)
        if (dead_X := self._dead(context)) is not None:
            aux = self._add_aux_gradients(centred_BD, -error_BD, dead_X)
        return StepOutput(mse + aux, {"mse": mse, "aux": aux}, fired_F, {})

    def encode_spec(self, hook_site: HookSite, sink_threshold: float | None) -> EncodeSpec:
        return EncodeSpec(
            architecture="topk",
            d_in=self.d_in,
            d_sae=self.d_sae,
            hook_site=hook_site,
            k=self.spec.k,
            rescale_acts_by_decoder_norm=True,
            sink_threshold=sink_threshold,
        )

    def _choose(self, centred_BD: Tensor) -> Tensor:
        """The k latents (B, K) with the largest p_i ‖W_dec,i‖, found in matmul_dtype."""
        W_enc, W_dec, b_enc, _ = self.parameters
        norm_F = W_dec.norm(dim=-1)
        dtype = self.matmul_dtype
        if self._pre_BF is None or len(self._pre_BF) != len(centred_BD):
            # kept between steps: a fresh (B, F) each time costs more in page faults than it holds
            self._pre_BF = torch.empty(len(centred_BD), self.d_sae, dtype=dtype, device=centred_BD.device)
        scaled_FD = (W_enc * norm_F[:, None]).to(dtype)
        torch.addmm((b_enc * norm_F).to(dtype), centred_BD.to(dtype), scaled_FD.T, out=self._pre_BF)
        return self._pre_BF.topk(self.spec.k, dim=-1, sorted=False).indices

    def _fill_gradients(self, centred_BD: Tensor, chosen_BK: Tensor, value_BK: Tensor, d_out_BD: Tensor) -> None:
        """Gradients of the mse from those of its reconstruction."""
        W_enc, W_dec, _, _ = self.parameters
        to_W_enc, to_W_dec, to_b_enc, to_b_dec = self.gradients
        to_W_dec.copy_(rows_scatter(value_BK, chosen_BK, d_out_BD, self.d_sae))
        d_value_BK = rows_dot(d_out_BD, chosen_BK, W_dec).mul_(value_BK > 0)
        to_W_enc.copy_(rows_scatter(d_value_BK, chosen_BK, centred_BD, self.d_sae))
        to_b_enc.zero_().index_add_(0, chosen_BK.reshape(-1), d_value_BK.reshape(-1))
        torch.sum(d_out_BD, 0, out=to_b_dec)
        to_b_dec.sub_(to_b_enc @ W_enc)

    @torch.enable_grad()
    def _add_aux_gradients(self, centred_BD: Tensor, residual_BD: Tensor, dead_X: Tensor) -> Tensor:
        """Add the gradients of the aux term, computed on the rows of the dead latents, and return the term."""
        W_enc, W_dec, b_enc = (p[dead_X].requires_grad_() for p in self.parameters[:3])
        dtype = self.matmul_dtype
        p_BX = linear(centred_BD.to(dtype), W_enc.to(dtype), b_enc.to(dtype))
        aux = self._aux(p_BX, W_dec, residual_BD)
        gradients = torch.autograd.grad(aux, (W_enc, W_dec, b_enc))
        for whole, rows in zip(self.gradients, gradients):
            whole.index_add_(0, dead_X, rows)
        self.gradients.b_dec.sub_(gradients[2] @ W_enc.detach())
        return aux.detach()

    def _dead(self, context: StepContext) -> Tensor | None:
        """Indices of the dead latents, None when there is nothing for AuxK to do."""
        if context.dead_F is None or self.spec.aux_coefficient == 0:
            return None
        dead_X = context.dead_F.nonzero().flatten()
        return dead_X if len(dead_X) else None

    def _aux(self, p_BX: Tensor, W_dec_XD: Tensor, residual_BD: Tensor) -> Tensor:
        """The aux term from the dead latents' pre-activations and decoder rows."""
        k_aux = self.spec.aux_k or max(1, self.d_in // 2)
        n_dead = len(W_dec_XD)
        g_BX = p_BX
        if n_dead > k_aux:
            chosen_BA = (p_BX * W_dec_XD.norm(dim=-1)).detach().topk(k_aux, dim=-1, sorted=False).indices
            g_BX = torch.zeros_like(p_BX).scatter(-1, chosen_BA, p_BX.gather(-1, chosen_BA))
        explained_BD = (g_BX @ W_dec_XD.to(g_BX.dtype)).float()
        scale = self.spec.aux_coefficient * min(n_dead / k_aux, 1.0)
        return scale * (explained_BD - residual_BD).square().sum(-1).mean()
