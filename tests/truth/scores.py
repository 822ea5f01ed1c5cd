"""How much of a world an SAE found, by SAELens' own formulas: the outside oracle of every comparison here.

MCC is the mean |cosine| of the best one-to-one match between decoder rows and true features (Hungarian method); F1 says how
well each latent's firing tells that of the feature nearest to it; uniqueness is the share of latents whose nearest feature is
no other's; EV is the explained variance.
"""

from pathlib import Path

import torch
from sae_lens import SAE
from sae_lens.synthetic import SyntheticDataEvalResult, eval_sae_on_synthetic_data, mean_correlation_coefficient
from torch import Tensor

from tests.truth.worlds import World
from workers.engine.formats.saelens import sae_write
from workers.engine.saes.sae import Sae

SCORE_TOKENS, SCORE_BATCH = 40_960, 4_096


def scores(sae: SAE, world: World) -> SyntheticDataEvalResult:
    """Measured on the same unseen tokens for every SAE of a world."""
    with torch.random.fork_rng():
        torch.manual_seed(2**31 + 1)
        return eval_sae_on_synthetic_data(
            sae, world.model.feature_dict, world.model.activation_generator, SCORE_TOKENS, SCORE_BATCH
        )


def said(score: SyntheticDataEvalResult) -> str:
    return (
        f"L0 {score.sae_l0:.2f}, MCC {score.mcc:.3f}, F1 {score.classification.f1_score:.3f}, "
        f"EV {score.explained_variance:.3f}, uniqueness {score.uniqueness:.3f}, dead {score.dead_latents}"
    )


def as_saelens(sae: Sae, folder: Path) -> SAE:
    """Our finished SAE as SAELens reads it from the folder that we write."""
    sae_write(sae, folder)
    return SAE.load_from_disk(folder)


def mcc(W_dec_FD: Tensor, truth_GD: Tensor) -> float:
    """MCC of decoder rows with true directions, of any lengths."""
    return mean_correlation_coefficient(W_dec_FD.detach(), truth_GD)
