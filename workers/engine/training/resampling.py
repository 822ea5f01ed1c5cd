"""Resampling: dead latents start again where the error is large.

Bricken et al. 2023, "Towards Monosemanticity", appendix "Neuron resampling". At certain steps, for every dead latent:

    sample a token n with probability ∝ (‖x̂_n - y_n‖²)²
    W_dec,i := its direction                              × the mean norm of living decoder rows
    W_enc,i := its direction                              × 0.2 × the mean norm of living encoder rows
    b_enc,i := where it started (thresholds and gates too)
    Adam's moments of all these := 0

Two things are this house's: decoder rows have no fixed length here, so the new ones get that of the living (the paper's is
1); directions are taken from the batch's mean, since b_dec holds the mean and no latent shall learn it again. A transcoder's
decoder row follows the target, its encoder row the input. Decoders that are not trained keep their rows. The paper samples
from 819,200 tokens; here it is the current batch, so that nothing outlives a step.

Everything follows from (seed, step): a run resumed across a resampling gives the same weights.

Shapes: B tokens of the batch, D d_in, E d_out, F d_sae, X dead latents.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from workers.engine.saes.base import Batch, TrainingSae
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.schedule import LAST_SHARE_WITHOUT_RESAMPLING
from workers.engine.specs.training import TrainSpec

ENCODER_SHARE = 0.2
STEP_STRIDE = 2**31
"""Seeds are below it, so no two pairs of seed and step give the same generator."""
ROWS_AT_ONCE = 1024
ANY_SITE = HookSite(layer=0, site="resid_post")
"""The Sae that measures errors is thrown away at once; where it belongs does not matter."""


def resampling_due(steps_done: int, spec: TrainSpec) -> bool:
    """True when dead latents are resampled after `steps_done` steps."""
    if spec.dead_latents != "resample" or steps_done % spec.resample_every:
        return False
    return 0 < steps_done <= spec.steps * (1 - LAST_SHARE_WITHOUT_RESAMPLING)


@torch.no_grad()
def resample(
    sae: TrainingSae,
    dead_F: Tensor,
    batch: Batch,
    start: dict[str, Tensor],
    moments: tuple[Tensor, ...],
    steps_done: int,
) -> int:
    """Start the latents of `dead_F` again; returns how many.

    `start` has the first values of each parameter of length F (b_enc, thresholds); `moments` are flat, like sae.weights.
    """
    dead_X = dead_F.nonzero().flatten()
    if not len(dead_X) or dead_F.all():
        return 0
    row_X = _sampled_rows(sae, batch, len(dead_X), steps_done)
    new_rows = {"W_enc": (batch.x_BD, ENCODER_SHARE)}
    if sae.spec.decoder == "trained":
        new_rows["W_dec"] = (batch.y_BE, 1.0)
    for name, (x_BD, share) in new_rows.items():
        W_FD = getattr(sae.parameters, name)
        direction_XD = x_BD[row_X] - x_BD.mean(0)
        direction_XD /= direction_XD.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        W_FD[dead_X] = direction_XD * (share * W_FD[~dead_F].norm(dim=-1).mean())
    for name, first_F in start.items():
        getattr(sae.parameters, name)[dead_X] = first_F[dead_X]
    for name in (*new_rows, *start):
        for moment in moments:
            _view_like(moment, getattr(sae.parameters, name))[dead_X] = 0
    return len(dead_X)


def latent_vectors(sae: TrainingSae) -> dict[str, Tensor]:
    """Copies of the parameters that have one number for each latent, by name: b_enc, thresholds, gates."""
    return {
        name: parameter.clone()
        for name, parameter in _named(sae)
        if name != "b_dec" and tuple(parameter.shape) == (sae.d_sae,)
    }


def _sampled_rows(sae: TrainingSae, batch: Batch, count: int, steps_done: int) -> Tensor:
    """`count` rows of the batch, drawn on the CPU with probability ∝ their squared loss."""
    loss_B = _losses(sae, batch).double().cpu()
    chance_B = (loss_B / loss_B.max().clamp_min(1e-30)).square().nan_to_num(0.0) + 1e-30
    generator = torch.Generator().manual_seed(sae.spec.seed + steps_done * STEP_STRIDE)
    return torch.multinomial(chance_B, count, replacement=True, generator=generator).to(batch.x_BD.device)


def _losses(sae: TrainingSae, batch: Batch) -> Tensor:
    """‖x̂ - y‖² of each token, (B,), as the finished SAE would reconstruct it."""
    now = sae.finished(1.0, ANY_SITE, None, target_factor=1.0).to(batch.x_BD.device)
    pieces = zip(batch.x_BD.split(ROWS_AT_ONCE), batch.y_BE.split(ROWS_AT_ONCE))
    return torch.cat([(now.reconstruct(x) - y).square().sum(-1) for x, y in pieces])


def _named(sae: TrainingSae) -> Iterator[tuple[str, Tensor]]:
    return zip(type(sae.parameters)._fields, sae.parameters)


def _view_like(flat: Tensor, parameter: Tensor) -> Tensor:
    """The part of `flat` that lies where `parameter` lies in the flat weights."""
    return flat.as_strided(parameter.shape, parameter.stride(), parameter.storage_offset())
