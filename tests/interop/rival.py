"""SAELens' counterpart of one of our trainings: the same architecture and options by its names, from the same weights."""

import torch
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedTrainingSAE,
    GatedTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
    TrainingSAE,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.training.sae_trainer import SAETrainer

from workers.engine.saes.base import TrainingSae
from workers.engine.specs.training import TOPK_FAMILY, TrainSpec

RIVALS = {
    "topk": (TopKTrainingSAE, TopKTrainingSAEConfig),
    "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig),
    "matryoshka": (MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig),
    "standard": (StandardTrainingSAE, StandardTrainingSAEConfig),
    "gated": (GatedTrainingSAE, GatedTrainingSAEConfig),
    "jumprelu": (JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig),
}
"""By our names: the architectures that both can train."""


def rival_of(spec: TrainSpec, d_in: int) -> TrainingSAE:
    """SAELens' untrained SAE of `spec`, with weights of its own (`give_weights` makes them ours)."""
    sae, config = RIVALS[spec.architecture]
    return sae(config(d_in=d_in, d_sae=spec.d_sae, **_options(spec)))


def _options(spec: TrainSpec) -> dict:
    """What decides an architecture's loss, by SAELens' names."""
    if spec.architecture == "jumprelu":
        is_tanh = spec.l0_loss == "tanh"
        return {
            "jumprelu_sparsity_loss_mode": spec.l0_loss,
            "jumprelu_bandwidth": spec.bandwidth,
            "jumprelu_init_threshold": spec.initial_threshold,
            "jumprelu_tanh_scale": spec.tanh_scale,
            "pre_act_loss_coefficient": spec.pre_act_coefficient if is_tanh else None,
            "target_l0": spec.target_l0 if spec.l0_loss == "quadratic" else None,
            "l0_coefficient": spec.l0_coefficient,
            "l0_warm_up_steps": spec.sparsity_warmup_steps,
        }
    if spec.architecture in TOPK_FAMILY:
        options = {"k": spec.k, "aux_loss_coefficient": spec.aux_coefficient}
        if spec.architecture == "matryoshka":
            options["matryoshka_widths"] = list(spec.matryoshka_widths)
        return options
    return {"l1_coefficient": spec.l1_coefficient, "l1_warm_up_steps": spec.sparsity_warmup_steps}


@torch.no_grad()
def give_weights(ours: TrainingSae, theirs: TrainingSAE) -> None:
    """Make every parameter of `theirs` equal to ours, b_dec included."""
    for name, parameter in zip(ours.parameters._fields, ours.parameters):
        getattr(theirs, name).copy_(parameter.T if name == "W_enc" else parameter)


def rival_loss(
    theirs: TrainingSAE, x_BD: torch.Tensor, dead_F: torch.Tensor, coefficient: float = 0.0
) -> TrainStepOutput:
    """SAELens' forward pass of one training step; `coefficient` is that of the L1 or L0 term, warm-up behind it."""
    known = {"coefficients": {"l1": coefficient, "l0": coefficient}, "n_training_steps": 0, "is_logging_step": False}
    return theirs.training_forward_pass(TrainStepInput(sae_in=x_BD, dead_neuron_mask=dead_F, **known))


def rival_trainer(theirs: TrainingSAE, spec: TrainSpec) -> SAETrainer:
    """SAELens' own trainer with the learning rate, the Adam and the dead latents of `spec`; `rival_step` drives it."""
    config = SAETrainerConfig(
        total_training_samples=spec.steps * spec.batch_size,
        train_batch_size_samples=spec.batch_size,
        lr=spec.learning_rate,
        lr_end=spec.learning_rate,
        adam_beta1=spec.adam_beta1,
        adam_beta2=spec.adam_beta2,
        # SAELens counts steps and asks for more than so many
        dead_feature_window=spec.dead_after_tokens // spec.batch_size - 1,
    )
    return SAETrainer(cfg=config, sae=theirs, data_provider=iter(()))


def rival_step(trainer: SAETrainer, x_BD: torch.Tensor) -> TrainStepOutput:
    """One step of SAELens' loop (SAETrainer.fit), logging aside."""
    trainer.maybe_reset_sparsity()
    out = trainer.step(x_BD)
    trainer.n_training_steps += 1
    return out
