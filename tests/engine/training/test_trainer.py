"""The trainer's own arithmetic, beside PyTorch's optimisers."""

import pytest
import torch

from tests.engine.training.worlds import D_IN, spec
from workers.engine.saes.base import Batch
from workers.engine.training.trainer import Trainer

BATCH = 64


def trainer_make(**options) -> Trainer:
    return Trainer(spec(lr_warmup_steps=0, **options), D_IN, device="cpu", matmul_dtype=torch.float32)


def batch_make(seed: int) -> Batch:
    x_BD = torch.randn(BATCH, D_IN, generator=torch.Generator().manual_seed(seed))
    return Batch(x_BD, x_BD)


def test_weight_decay_is_that_of_adamw_on_the_rows():
    trainer = trainer_make(weight_decay=0.3)
    names = ("W_enc", "W_dec")
    theirs = {name: getattr(trainer.sae.parameters, name).clone().requires_grad_() for name in names}
    rate = trainer.spec.learning_rate
    adamw = torch.optim.AdamW(theirs.values(), lr=rate, weight_decay=0.3, eps=trainer.spec.adam_eps)
    for step in range(3):
        trainer.step(batch_make(step))
        for name, weights in theirs.items():
            weights.grad = getattr(trainer.sae.gradients, name).clone()
        adamw.step()
    for name, weights in theirs.items():
        torch.testing.assert_close(getattr(trainer.sae.parameters, name), weights.detach(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("decoder", ["frozen", "random"])
def test_a_held_decoder_and_the_biases_do_not_shrink(decoder):
    trainer, still = trainer_make(weight_decay=0.3, decoder=decoder), trainer_make(decoder=decoder)
    before = trainer.sae.parameters.W_dec.clone()
    for each in (trainer, still):
        each.step(batch_make(0))
    assert torch.equal(trainer.sae.parameters.W_dec, before)
    assert torch.equal(trainer.sae.parameters.b_dec, still.sae.parameters.b_dec)
    assert not torch.equal(trainer.sae.parameters.W_enc, still.sae.parameters.W_enc)
