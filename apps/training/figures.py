"""Which numbers of a training the charts show, with what they mean. The engine tells them (engine/training/charts.py)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One chart of a run: which values it shows and what they mean."""

    id: str
    title: str
    unit: str
    values: tuple[tuple[str, str], ...]
    """(name in the points, words in the legend); those that a run has not are left out."""
    help: str
    formula: str = ""
    is_shared: bool = False
    """The same for every SAE of a run: one line for all."""
    is_sparse: bool = False
    """Measured at some points only: the line goes from one to the next."""


FIGURES = (
    Figure(
        "loss",
        "Loss",
        "loss",
        (
            ("loss", "loss"),
            ("mse", "reconstruction"),
            ("l1_loss", "L1 penalty"),
            ("l0_loss", "L0 penalty"),
            ("aux", "auxiliary"),
            ("pre_act", "pre-activation"),
        ),
        "Mean over the steps since the last point, on training tokens: the whole loss and its parts, coefficients included.",
        "sum over d_in, mean over tokens",
    ),
    Figure(
        "fvu",
        "FVU",
        "FVU",
        (("fvu", "FVU"),),
        "Share of variance that the SAE does not explain, on training tokens since the last point. Lower is better.",
        "Σ‖x − x̂‖² / Σ‖x − mean(x)‖²",
    ),
    Figure(
        "explained_variance",
        "Explained variance",
        "share",
        (("explained_variance", "explained"), ("skip_fvu", "left by the linear path alone")),
        "What FVU leaves: 1 − FVU, on training tokens.",
        "1 − Σ‖x − x̂‖² / Σ‖x − mean(x)‖²",
    ),
    Figure(
        "l0",
        "L0",
        "latents per token",
        (("l0", "L0"),),
        "Latents that fire for a token, on average. Fewer are easier to read, more reconstruct better.",
        "mean over tokens of #{i : fᵢ > 0}",
    ),
    Figure(
        "l1",
        "L1",
        "Σ f",
        (("l1", "L1"),),
        "Sum of a token's latents, decoder rows of length 1, on a sample of the newest batch.",
        "mean over tokens of Σ fᵢ ‖W_dec,i‖",
    ),
    Figure(
        "dead_share",
        "Dead latents",
        "share",
        (("dead_share", "dead share"),),
        "Share of latents that fired for none of the last tokens of training, as many as set as “dead after”.",
    ),
    Figure(
        "recovered",
        "CE and KL recovered",
        "share",
        (("ce_recovered", "CE recovered"), ("kl_recovered", "KL recovered")),
        "At checkpoints, on a few held-out contexts: the share of what zeroing the site costs the language model that the SAE "
        "gives back.",
        "(CE_zero − CE_sae) / (CE_zero − CE_clean)",
        is_sparse=True,
    ),
    Figure(
        "learning_rate",
        "Learning rate",
        "learning rate",
        (("learning_rate", "learning rate"),),
        "Adam's step size.",
        is_shared=True,
    ),
    Figure(
        "grad_norm",
        "Gradient norm",
        "norm",
        (("grad_norm", "gradient norm"),),
        "Length of the whole gradient before it is cut, mean over the steps since the last point.",
    ),
    Figure(
        "tokens_per_s",
        "Speed",
        "tokens/s",
        (("tokens_per_s", "tokens/s"),),
        "Training tokens in each second since the last point; each trains every SAE of the run.",
        is_shared=True,
    ),
    Figure(
        "device_bytes",
        "Memory",
        "bytes",
        (("device_bytes", "bytes in use"),),
        "Memory that the training's process holds on its device.",
        is_shared=True,
    ),
)
BY_ID = {figure.id: figure for figure in FIGURES}
