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

1. one product of all tokens with all latents, in matmul_dtype, chunk by chunk; of each chunk only the k latents of its
   tokens are kept. With products in bfloat16 it serves only to choose: the chosen values are computed again in float32;
2. decoder, its gradient and the encoder's gradient touch k rows a token (pairs.py);
3. b_dec reaches the encoder only through p, where it acts like -W_enc on b_enc: its gradient there is -∂b_enc W_enc;
4. AuxK runs by autograd on the dead rows alone, chunk by chunk where many are dead.

Shapes: B tokens, C tokens of a chunk, D d_in, F d_sae, K k, N = B K pairs, X dead latents.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from workers.engine.saes.base import Batch, Parameters, StepContext, StepOutput, TrainingSae
from workers.engine.saes.encoder_chunks import EncoderChunks, chunk_tokens
from workers.engine.saes.pairs import ActivePairs
from workers.engine.saes.sparse_rows import TORCH_ROWS, SparseRows
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite


class TopKTrainingSae(TrainingSae):
    NAME = "topk"
    LOSSES = ("mse", "aux")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._chunks = EncoderChunks()

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
        _, W_dec, _, b_dec = self.parameters
        centred_BD = x_BD - b_dec
        pairs, p_N = self._choose(centred_BD)
        f_N = p_N.relu_()
        error_BD = pairs.decode(f_N, W_dec).add_(b_dec).sub_(x_BD)
        mse = error_BD.square().sum() / len(x_BD)
        self._fill_gradients(centred_BD, pairs, f_N, error_BD)
        aux = torch.zeros_like(mse)
        if (dead_X := self._dead(context)) is not None:
            aux = self._add_aux_gradients(centred_BD, -error_BD, dead_X)
        fired_F = pairs.sum_over_tokens(f_N.sign_()).long()
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

    def _choose(self, centred_BD: Tensor) -> tuple[ActivePairs, Tensor]:
        """The k latents of each token with the largest p_i ‖W_dec,i‖, found in matmul_dtype, and their p in float32."""
        W_enc, W_dec, b_enc, _ = self.parameters
        norm_F = W_dec.norm(dim=-1)
        # products with a bias take longer than a bias in the search
        chunks = self._chunks.of(centred_BD, W_enc, None, self.matmul_dtype)
        latents, values = zip(*(self.rows.top_k(p_CF, norm_F, self.spec.k, b_enc) for _, p_CF in chunks))
        pairs = ActivePairs.of_each(torch.cat(latents), self.d_sae, self.rows)
        if self.matmul_dtype == torch.float32:
            return pairs, torch.cat(values).view(-1).add_(pairs.of_latent(b_enc))
        return pairs, self._exact(centred_BD, pairs, torch.cat(values).view(-1))

    def _exact(self, centred_BD: Tensor, pairs: ActivePairs, p_N: Tensor) -> Tensor:
        """The pairs' pre-activations in float32: `p_N`, or computed again when it was found less exactly."""
        if self.matmul_dtype == torch.float32:
            return p_N
        return pairs.dot(centred_BD, self.parameters.W_enc).add_(pairs.of_latent(self.parameters.b_enc))

    def _fill_gradients(self, centred_BD: Tensor, pairs: ActivePairs, f_N: Tensor, error_BD: Tensor) -> None:
        """Gradients of the mse from the error of its reconstruction."""
        W_enc, W_dec, _, _ = self.parameters
        to_W_enc, to_W_dec, to_b_enc, to_b_dec = self.gradients
        d_x_hat_BD = error_BD * (2 / len(error_BD))
        to_W_dec.copy_(pairs.sum_rows(f_N, d_x_hat_BD))
        d_p_N = torch.ops.aten.threshold_backward(pairs.dot(d_x_hat_BD, W_dec), f_N, 0)
        to_W_enc.copy_(pairs.sum_rows(d_p_N, centred_BD))
        to_b_enc.copy_(pairs.sum_over_tokens(d_p_N))
        torch.sum(d_x_hat_BD, 0, out=to_b_dec)
        to_b_dec.sub_(to_b_enc @ W_enc)

    @torch.enable_grad()
    def _add_aux_gradients(self, centred_BD: Tensor, residual_BD: Tensor, dead_X: Tensor) -> Tensor:
        """Add the gradients of the aux term, computed on the rows of the dead latents, and return the term."""
        W_enc, W_dec, b_enc = rows = [p[dead_X].requires_grad_() for p in self.parameters[:3]]
        dtype, aux = self.matmul_dtype, torch.zeros((), device=centred_BD.device)
        tokens = chunk_tokens(centred_BD, len(dead_X))
        for centred_CD, residual_CD in zip(centred_BD.split(tokens), residual_BD.split(tokens)):
            p_CX = linear(centred_CD.to(dtype), W_enc.to(dtype), b_enc.to(dtype))
            part = self._aux(p_CX, W_dec, residual_CD, self.rows) * (len(centred_CD) / len(centred_BD))
            part.backward()
            aux += part.detach()
        for whole, row in zip(self.gradients, rows):
            whole.index_add_(0, dead_X, row.grad)
        self.gradients.b_dec.sub_(b_enc.grad @ W_enc.detach())
        return aux

    def _dead(self, context: StepContext) -> Tensor | None:
        """Indices of the dead latents, None when there is nothing for AuxK to do."""
        if context.dead_F is None or self.spec.aux_coefficient == 0:
            return None
        dead_X = context.dead_F.nonzero().flatten()
        return dead_X if len(dead_X) else None

    def _aux(self, p_BX: Tensor, W_dec_XD: Tensor, residual_BD: Tensor, rows: SparseRows = TORCH_ROWS) -> Tensor:
        """The aux term from the dead latents' pre-activations and decoder rows."""
        k_aux = self.spec.aux_k or max(1, self.d_in // 2)
        n_dead = len(W_dec_XD)
        g_BX = p_BX
        if n_dead > k_aux:
            chosen_BA, _ = rows.top_k(p_BX.detach(), W_dec_XD.detach().norm(dim=-1), k_aux)
            g_BX = p_BX * torch.zeros_like(p_BX).scatter_(-1, chosen_BA, 1)
        explained_BD = (g_BX @ W_dec_XD.to(g_BX.dtype)).float()
        scale = self.spec.aux_coefficient * min(n_dead / k_aux, 1.0)
        return scale * (explained_BD - residual_BD).square().sum(-1).mean()
