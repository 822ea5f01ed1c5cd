"""The steps of Standard, Gated and JumpReLU have the gradients of autograd, dense and on the active pairs alone."""

import pytest
import torch

from tests.engine.saes.worlds import SITE, activations
from workers.engine.saes import encoder_chunks, pairwise
from workers.engine.saes.base import Batch, StepContext, TrainingSae
from workers.engine.saes.gated import GatedTrainingSae
from workers.engine.saes.jumprelu import JumpReluTrainingSae
from workers.engine.saes.pairs import ActivePairs, DensePairs
from workers.engine.saes.standard import StandardTrainingSae
from workers.engine.specs.training import TrainSpec

D, F = 16, 48
X_BD = activations(256, D) / 3
BATCH = Batch(X_BD, X_BD)
CONTEXT = StepContext(step=3, dead_F=torch.arange(F) % 7 == 0)
JUMPRELU = {"bandwidth": 0.8, "initial_threshold": 0.5}
CASES = {
    "standard": (StandardTrainingSae, {}),
    "gated": (GatedTrainingSae, {}),
    "jumprelu step": (JumpReluTrainingSae, JUMPRELU),
    "jumprelu quadratic": (JumpReluTrainingSae, JUMPRELU | {"l0_loss": "quadratic", "target_l0": 3.0}),
    "jumprelu tanh": (JumpReluTrainingSae, JUMPRELU | {"l0_loss": "tanh", "pre_act_coefficient": 0.3}),
}
every_case = pytest.mark.parametrize("case", CASES)


def training_sae(case: str, *, dtype=torch.float32, bias: float = 0.0, d_in: int = D, **options) -> TrainingSae:
    """Decoder rows of different lengths, encoder apart from decoder; `bias` moves how many latents fire."""
    cls, own = CASES[case]
    usual = {
        "activation_cache": 1,
        "d_sae": F,
        "l1_coefficient": 0.7,
        "l0_coefficient": 0.7,
        "sparsity_warmup_steps": 4,
    }
    sae = cls(TrainSpec(architecture=cls.NAME, **usual | own | options), d_in, matmul_dtype=dtype)
    sae.weights += torch.randn(len(sae.weights), generator=torch.Generator().manual_seed(3)) * 0.1
    for name in ("b_enc", "b_gate"):
        if hasattr(sae.parameters, name):
            getattr(sae.parameters, name).add_(bias)
    return sae


def assert_equal_steps(case: str, batch: Batch = BATCH, **options):
    """Loss, terms, counts and every gradient of the step beside those of autograd through `losses`; returns the step."""
    fast, reference = training_sae(case, **options), training_sae(case, **options)
    quick, plain = fast.step(batch, CONTEXT), TrainingSae.step(reference, batch, CONTEXT)
    for name, ours, autograd in zip(fast.gradients._fields, fast.gradients, reference.gradients):
        assert (ours - autograd).norm() <= 1e-5 * autograd.norm(), name
    for name in fast.LOSSES:
        assert torch.allclose(quick.losses[name], plain.losses[name], rtol=1e-5), name
    assert torch.allclose(quick.loss, plain.loss, rtol=1e-5)
    assert torch.equal(quick.fired_F, plain.fired_F)
    return quick


@every_case
@pytest.mark.parametrize("dense_share", [0.0, 1.0], ids=["dense", "active"])
@pytest.mark.parametrize("bias", [1.0, 0.0, -1.0, -2.5])
def test_both_ways_have_the_gradients_of_autograd_at_every_l0(case, dense_share, bias, monkeypatch):
    monkeypatch.setattr(pairwise, "DENSE_SHARE", dense_share)
    monkeypatch.setattr(encoder_chunks, "SMALLEST_CHUNK", 100)
    monkeypatch.setattr(encoder_chunks, "CHUNK_ELEMENTS", {"cpu": 100 * F})
    assert_equal_steps(case, bias=bias)


@every_case
def test_a_batch_on_which_nothing_fires_is_learned_from_too(case):
    out = assert_equal_steps(case, bias=-100.0)
    assert out.fired_F.sum() == 0


@every_case
@pytest.mark.parametrize("bias", [0.0, -100.0])
def test_weights_that_are_no_numbers_make_the_loss_none(case, bias):
    """Where nothing fires, the loss could else stay finite and the run go on."""
    sae = training_sae(case, bias=bias)
    sae.parameters.W_enc[5] = float("nan")
    assert sae.step(BATCH, CONTEXT).loss.isnan()


@every_case
def test_the_share_of_pairs_that_matter_decides_the_way(case, monkeypatch):
    ways = []
    for bias in (1.0, -3.0):
        sae = training_sae(case, bias=bias)
        learn = sae._learn
        monkeypatch.setattr(sae, "_learn", lambda piece, learn=learn: ways.append(type(piece.pairs)) or learn(piece))
        sae.step(BATCH, CONTEXT)
    assert ways == [DensePairs, ActivePairs]


@every_case
@pytest.mark.parametrize("dense_share, bias, most", [(0.0, 0.0, 0.1), (1.0, -1.0, 0.03)], ids=["dense", "active"])
def test_bfloat16_products_change_the_gradient_little(case, dense_share, bias, most, monkeypatch):
    monkeypatch.setattr(pairwise, "DENSE_SHARE", dense_share)
    exact, coarse = (training_sae(case, bias=bias, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    exact.step(BATCH, CONTEXT)
    coarse.step(BATCH, CONTEXT)
    assert 0 < (coarse.weights.grad - exact.weights.grad).norm() / exact.weights.grad.norm() < most


@every_case
def test_a_target_apart_from_the_input_is_what_the_error_is_measured_against(case):
    target = assert_equal_steps(case, Batch(X_BD, X_BD.flip(0)), bias=-1.0)
    assert not torch.allclose(target.losses["mse"], training_sae(case, bias=-1.0).step(BATCH, CONTEXT).losses["mse"])


def test_the_pairs_answer_alike_dense_and_active():
    generator = torch.Generator().manual_seed(1)
    mask_BF = torch.rand(9, F, generator=generator) < 0.2
    mask_BF[4] = False
    p_BF, W_FD, x_BD = (torch.randn(shape, generator=generator) for shape in ((9, F), (F, D), (9, D)))
    dense, masked_BF = DensePairs(torch.float32), p_BF * mask_BF
    none_F = torch.full((F,), -100.0)
    parts = [ActivePairs.above(p_BF[a:b].where(mask_BF[a:b], -100.0), none_F, a) for a, b in ((0, 5), (5, 9))]
    active, p_N = ActivePairs.joined([pairs for pairs, _ in parts]), torch.cat([p_N for _, p_N in parts])
    assert torch.allclose(active.decode(p_N, W_FD), dense.decode(masked_BF, W_FD), atol=1e-5)
    assert torch.allclose(active.dot(x_BD, W_FD), dense.dot(x_BD, W_FD)[mask_BF], atol=1e-5)
    assert torch.allclose(active.sum_over_tokens(p_N), masked_BF.sum(0), atol=1e-5)
    assert torch.allclose(active.sum_over_latents(p_N), masked_BF.sum(1), atol=1e-5)
    few, of_few = active.only(p_N > 0)
    rows, expected = torch.ones(F, D), torch.ones(F, D)
    few.add_rows(of_few(p_N), x_BD, rows)
    dense.add_rows(masked_BF.relu(), x_BD, expected)
    assert torch.allclose(rows, expected, atol=1e-5)


@every_case
def test_twice_the_width_with_the_same_content_changes_no_term(case):
    """x, twice over √2, has its length and its angles: sums over the width stay, means would halve."""
    narrow, wide = training_sae(case), training_sae(case, d_in=2 * D)
    for name, parameter in zip(narrow.parameters._fields, narrow.parameters):
        is_wide = name in ("W_enc", "W_dec", "b_dec")
        getattr(wide.parameters, name).copy_(torch.cat([parameter, parameter], -1) / 2**0.5 if is_wide else parameter)
    twice_BD = torch.cat([X_BD, X_BD], -1) / 2**0.5
    here, there = narrow.step(BATCH, CONTEXT), wide.step(Batch(twice_BD, twice_BD), CONTEXT)
    for name in narrow.LOSSES:
        assert torch.allclose(here.losses[name], there.losses[name], rtol=1e-4), name
    for ours, wider in zip(narrow.gradients, wide.gradients):
        assert wider.norm() == pytest.approx(ours.norm().item(), rel=1e-4)


@every_case
def test_latents_that_never_fire_change_no_term(case):
    few, many = training_sae(case), training_sae(case, d_sae=2 * F)
    for name, parameter in zip(few.parameters._fields, few.parameters):
        target = getattr(many.parameters, name)
        target[: len(parameter)] = parameter
        if name in ("b_enc", "b_gate"):
            target[F:] = -100.0
    context = StepContext(step=3, dead_F=torch.cat([CONTEXT.dead_F, torch.zeros(F, dtype=torch.bool)]))
    here, there = few.step(BATCH, CONTEXT), many.step(BATCH, context)
    for name in few.LOSSES:
        assert torch.allclose(here.losses[name], there.losses[name], rtol=1e-5), name
    for ours, larger in zip(few.gradients, many.gradients):
        assert torch.allclose(larger[: len(ours)], ours, rtol=1e-4, atol=1e-5)


@every_case
@pytest.mark.parametrize("batch_size", [64, 128])
def test_the_size_of_the_batch_changes_no_term(case, batch_size):
    tokens = X_BD[:64].repeat(batch_size // 64, 1)
    here = training_sae(case).step(Batch(X_BD[:64], X_BD[:64]), CONTEXT)
    assert torch.allclose(training_sae(case).step(Batch(tokens, tokens), CONTEXT).loss, here.loss, rtol=1e-5)


@every_case
def test_the_sparsity_coefficient_scales_its_term_and_warms_up(case):
    sparsity = "l0" if case.startswith("jumprelu") else "l1"

    def term(step: int, coefficient: float = 1.0, **options) -> float:
        sae = training_sae(case, **{f"{sparsity}_coefficient": coefficient}, **options)
        return sae.step(BATCH, StepContext(step=step)).losses[sparsity].item()

    full = term(99)
    assert full > 0
    assert term(0, sparsity_warmup_steps=0) == full
    assert term(99, coefficient=2.5) == pytest.approx(2.5 * full)
    assert term(0, sparsity_warmup_steps=10) == 0
    assert term(5, sparsity_warmup_steps=10) == pytest.approx(0.5 * full)


@every_case
def test_the_finished_sae_fires_and_reconstructs_as_in_training(case):
    sae, factor = training_sae(case, bias=-0.5), 0.25
    out, finished = sae.step(BATCH, CONTEXT), sae.finished(factor, SITE, 30.0)
    f_BF = finished.encode(X_BD / factor)
    assert torch.equal((f_BF > 0).sum(0), out.fired_F)
    error_BD = finished.decode(f_BF) * factor - X_BD
    assert error_BD.square().sum(-1).mean().item() == pytest.approx(out.losses["mse"].item(), rel=1e-4)
    assert torch.allclose(finished.W_dec.norm(dim=-1), torch.ones(F))
