"""Matryoshka BatchTopK: nested dictionaries, each of which must do without the latents behind it.

Bussmann, Nabeshima, Karvonen, Nanda 2025, "Learning multi-level features with Matryoshka sparse autoencoders"
(arXiv:2503.17547), in the form of SAELens' `MatryoshkaBatchTopKTrainingSAE`; f and θ as in BatchTopK (batchtopk.py), chosen
once among all latents:

    x̂_m   = Σ_{i < w_m} f_i W_dec,i + b_dec          w_1 < … < w_M = d_sae
    mse   = mean_B ‖x̂_M - x‖²
    inner = Σ_{m < M} mean_B ‖x̂_m - x‖²
    aux   as in TopK, on the error of all latents

General latents come first, since every level needs them: fewer are split or absorbed by special ones. As in SAELens the
levels weigh alike and AuxK looks at the last alone.
"""

from torch import Tensor

from workers.engine.saes.batchtopk import BatchTopKTrainingSae

SHARES = (16, 8, 4, 2)
"""Without matryoshka_widths a level ends at d_sae divided by each."""


class MatryoshkaTrainingSae(BatchTopKTrainingSae):
    NAME = "matryoshka"
    LOSSES = ("mse", "inner", "aux")

    def levels(self) -> tuple[int, ...]:
        inner = self.spec.matryoshka_widths or [self.d_sae // share for share in SHARES]
        return (*sorted({width for width in inner if 0 < width < self.d_sae}), self.d_sae)

    def _terms(self, errors: list[Tensor]) -> dict[str, Tensor]:
        return {"mse": errors[-1], "inner": sum(errors[:-1], start=errors[-1].new_zeros(()))}
