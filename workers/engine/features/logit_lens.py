"""Logit lists: which tokens a latent's direction promotes and suppresses at the output, and how all logits are spread.

    logits = W_dec W_U          (F, D) × (D, V)

No final norm, no centring, no softmax: these are the raw effects of a unit direction (logit lens; the same as
SAEDashboard), good for ranking tokens, not probabilities. For attn_z the direction is taken through the attention's
output projection first. Rows of W_U beyond the tokenizer's vocabulary (padding of the embedding) are left out.

Shapes: F d_sae, D d_model, V vocab, L tokens listed, H histogram bins.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from workers.engine.hooks.sites import hook_point
from workers.engine.saes.sae import Sae
from workers.engine.specs.features import HISTOGRAM_BINS

CHUNK_LATENTS = 256


@dataclass(frozen=True)
class LogitLists:
    """Lists of the latents [start, start + n): ids int64 and values float32, (n, L); the strongest effect first.

    `histogram` (n, H) int64 counts all V logits in bins of equal width between `lowest` and `highest` (n,).
    """

    start: int
    promoted_ids: Tensor
    promoted_values: Tensor
    suppressed_ids: Tensor
    suppressed_values: Tensor
    histogram: Tensor
    lowest: Tensor
    highest: Tensor


@torch.no_grad()
def output_directions(sae: Sae, model: PreTrainedModel) -> Tensor:
    """(F, D): what each latent adds to the residual stream, at the site that the SAE answers: W_dec itself, but at attn_z
    taken through the projection."""
    site = sae.encode_spec.site_out
    if site.site != "attn_z":
        return sae.W_dec
    projection = hook_point(model, site).module
    directions = sae.W_dec.to(model.device, model.dtype)
    # Subtracting what zeros give takes off the bias, whatever kind of layer the projection is.
    return (projection(directions) - projection(torch.zeros_like(directions[:1]))).float()


@torch.no_grad()
def logit_lists(W_dec: Tensor, unembedding_VD: Tensor, tokens_listed: int) -> Iterator[LogitLists]:
    """Promoted and suppressed tokens of each row of `W_dec` (F, D), in chunks of latents."""
    W_U = unembedding_VD.to(W_dec.device, torch.float32).T
    for start in range(0, len(W_dec), CHUNK_LATENTS):
        logits = W_dec[start : start + CHUNK_LATENTS].float() @ W_U
        promoted = logits.topk(tokens_listed, dim=-1)
        suppressed = logits.topk(tokens_listed, dim=-1, largest=False)
        yield LogitLists(
            start, promoted.indices, promoted.values, suppressed.indices, suppressed.values, *_spread(logits)
        )


def _spread(logits_CV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Histogram (C, H), smallest and largest logit (C,)."""
    lowest, highest = logits_CV.aminmax(dim=-1)
    width = ((highest - lowest) / HISTOGRAM_BINS).clamp(min=torch.finfo(torch.float32).tiny)
    bin_CV = ((logits_CV - lowest[:, None]) / width[:, None]).long().clamp_(max=HISTOGRAM_BINS - 1)
    counts = torch.zeros(len(logits_CV), HISTOGRAM_BINS, dtype=torch.long, device=logits_CV.device)
    return counts.scatter_add_(1, bin_CV, torch.ones_like(bin_CV)), lowest, highest
