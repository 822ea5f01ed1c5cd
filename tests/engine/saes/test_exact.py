"""Exact pre-activations: beside rational arithmetic, and the same bits however the rough product was made."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.engine.saes.worlds import activations, random_sae
from workers.engine.saes import encoder_chunks, exact
from workers.engine.saes import sae as sae_module
from workers.engine.saes.encoding import TENSORS
from workers.engine.saes.exact import ExactEncoder, rounded_sum
from workers.engine.saes.sparse_rows import rows_for

WAYS = sorted({"torch", rows_for("cpu").NAME})
every_way = pytest.mark.parametrize("way", WAYS)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
quick = settings(max_examples=40, deadline=None)
HALF_STEP = 2.0**-8
"""bfloat16 has 2⁻⁷ between 1 and its next number."""

moderate = st.floats(-64, 64, width=32)
wild = st.floats(-(2.0**60), 2.0**60, width=32)
awkward = st.sampled_from(
    [0.0, 1.0, -1.0, 1 + HALF_STEP, 1 + 3 * HALF_STEP, -1 - HALF_STEP, 2.0**-24, 1 + 2.0**-23, 2.0**-70, 3.0, 2.0**12]
)


def matrices(rows: int, columns: int) -> st.SearchStrategy:
    return st.one_of(*(arrays(np.float32, (rows, columns), elements=kind) for kind in (moderate, wild, awkward)))


def nearest_float32(value: Fraction) -> np.float32:
    """By comparing distances; half-way to the even one."""
    middle = np.float32(float(value))
    around = [np.nextafter(middle, np.float32(-np.inf)), middle, np.nextafter(middle, np.float32(np.inf))]
    return min(around, key=lambda one: (abs(Fraction(float(one)) - value), int(one.view(np.int32)) & 1))


def rational_p(x: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """x Wᵀ + b, rounded once."""
    exact_sum = [
        [
            sum(Fraction(float(u)) * Fraction(float(v)) for u, v in zip(row, w)) + Fraction(float(bias))
            for w, bias in zip(W, b)
        ]
        for row in x
    ]
    return np.array([[nearest_float32(value) for value in row] for row in exact_sum], np.float32)


@quick
@given(st.lists(st.one_of(moderate, wild, awkward), min_size=1, max_size=6), st.lists(awkward, min_size=6, max_size=6))
def test_a_sum_is_rounded_once(a, b):
    products = [u * v for u, v in zip(a, b)]
    assert rounded_sum(products) == nearest_float32(sum(map(Fraction, products)))


@pytest.mark.parametrize("left_out, expected", [(2.0**-90, 1 + 2.0**-23), (-(2.0**-90), 1.0), (0.0, 1.0)])
def test_a_sum_beside_half_way_is_rounded_to_its_own_side(left_out, expected):
    assert rounded_sum([1.0, 2.0**-24, left_out]) == np.float32(expected)


@every_way
@every_dtype
@quick
@given(x=matrices(3, 5), W=matrices(4, 5), b=arrays(np.float32, 4, elements=moderate), floor=st.floats(-8, 8, width=32))
def test_all_that_is_above_a_floor_is_a_candidate_with_its_exact_value(way, dtype, x, W, b, floor):
    encoder = ExactEncoder(torch.from_numpy(W), torch.from_numpy(b), rows_for("cpu", way), dtype)
    ((_, found),) = encoder.above(torch.from_numpy(x), torch.full((4,), floor))
    expected = rational_p(x, W, b)
    places = list(zip(found.token_N.tolist(), found.latent_N.tolist()))
    assert places == sorted(set(places))
    assert set(zip(*np.nonzero(expected > np.float32(floor)))) <= set(places)
    assert [expected[place] for place in places] == found.p_N.tolist()


@every_way
@every_dtype
@quick
@given(
    x=matrices(3, 5),
    W=matrices(20, 5),
    k=st.integers(1, 6),
    scale=arrays(np.float32, 20, elements=st.floats(0, 4, width=32)),
)
def test_the_k_largest_are_among_the_candidates(way, dtype, x, W, k, scale):
    encoder = ExactEncoder(torch.from_numpy(W), torch.zeros(20), rows_for("cpu", way), dtype)
    ((_, found),) = encoder.largest(torch.from_numpy(x), torch.from_numpy(scale), k)
    score = rational_p(x, W, np.zeros(20, np.float32)) * scale
    candidates = set(zip(found.token_N.tolist(), found.latent_N.tolist()))
    for token, row in enumerate(score):
        largest = sorted(range(20), key=lambda latent: (-row[latent], latent))[:k]
        assert {(token, latent) for latent in largest if row[latent] > 0} <= candidates


@every_way
def test_roundings_that_all_push_one_way_stay_within_the_bounds(way):
    """Each number just below half-way to the next bfloat16: every product loses as much as it can."""
    x_BD = torch.full((1, 4096), 1 + HALF_STEP - 2.0**-20)
    near, far = x_BD.clone(), torch.ones(1, 4096) * (1 + 1.9 * HALF_STEP)
    W_FD = torch.cat([near, far, near * 0.999])
    for dtype in (torch.float32, torch.bfloat16):
        encoder = ExactEncoder(W_FD, torch.zeros(3), rows_for("cpu", way), dtype)
        ((_, found),) = encoder.largest(x_BD, torch.ones(3), 1)
        assert 1 in found.latent_N.tolist()
        exact_p = x_BD.double() @ W_FD.double().T
        just_below_F = (exact_p[0] * (1 - 1e-6)).float()
        ((_, above),) = encoder.above(x_BD, just_below_F)
        assert above.latent_N.tolist() == [0, 1, 2]


@every_way
def test_the_rounding_of_the_rough_product_itself_is_within_the_bounds(way):
    """Numbers that bfloat16 holds exactly, all their mantissas: what their product loses is lost at the end alone."""
    mantissa_F = 1 + torch.arange(128) / 128
    encoder = ExactEncoder(mantissa_F[:, None], torch.zeros(128), rows_for("cpu", way), torch.bfloat16)
    for x in mantissa_F[::7]:
        ((_, found),) = encoder.above(x.view(1, 1), x * mantissa_F - 1e-6)
        assert found.latent_N.tolist() == list(range(128))


@every_way
def test_what_is_far_below_is_no_candidate(way):
    """Else nothing would be gained."""
    generator = torch.Generator().manual_seed(0)
    x_BD, W_FD = torch.randn(50, 256, generator=generator), torch.randn(2000, 256, generator=generator)
    for dtype, most in ((torch.float32, 10.5), (torch.bfloat16, 20)):
        encoder = ExactEncoder(W_FD, torch.zeros(2000), rows_for("cpu", way), dtype)
        ((_, found),) = encoder.largest(x_BD, torch.ones(2000), 10)
        assert 10 <= len(found.p_N) / 50 <= most


def encoded(sae, x_BD, way, dtype, monkeypatch):
    monkeypatch.setattr(sae_module, "rows_for", lambda device: rows_for(device, way))
    monkeypatch.setattr(exact, "matmul_dtype_for", lambda device: dtype)
    return replace(sae).encode_sparse(x_BD)  # a copy keeps no encoder


@pytest.mark.parametrize(
    "architecture, is_rescaled", [*((name, False) for name in TENSORS), ("jumprelu", True), ("gated", True)]
)
def test_the_same_bits_fire_in_every_way_and_they_are_the_rational_ones(architecture, is_rescaled, monkeypatch):
    sae, x_BD = random_sae(architecture), activations(24)
    if is_rescaled:
        sae = replace(sae, encode_spec=replace(sae.encode_spec, rescale_acts_by_decoder_norm=True))
    x_BD[5] = x_BD[4] * (1 + 2.0**-12)
    b_F = torch.zeros(48) if sae.b_enc is None else sae.b_enc
    read_BD = x_BD - sae.b_dec if sae.encode_spec.apply_b_dec_to_input else x_BD
    p_BF = torch.from_numpy(rational_p(read_BD.numpy(), sae.W_enc.T.numpy(), b_F.numpy()))
    if sae.encode_spec.rescale_acts_by_decoder_norm:
        p_BF = p_BF * sae.W_dec.norm(dim=-1)
    match architecture:
        case "topk":
            f_BF = p_BF.relu() * torch.zeros_like(p_BF).scatter(
                -1, p_BF.sort(descending=True, stable=True).indices[:, :5], 1
            )
        case "jumprelu":
            f_BF = p_BF.relu() * (p_BF > sae.threshold)
        case "gated":
            f_BF = (p_BF > -sae.b_gate) * (p_BF * sae.r_mag.exp() + sae.b_mag).relu()
        case _:
            f_BF = p_BF.relu()
    for way in WAYS:
        for dtype in (torch.float32, torch.bfloat16):
            assert torch.equal(encoded(sae, x_BD, way, dtype, monkeypatch).dense(), f_BF), (way, dtype)


@every_way
def test_of_equal_values_the_lower_latents_fire(way, monkeypatch):
    sae = replace(random_sae("topk"), W_enc=torch.ones(16, 48), b_enc=torch.zeros(48), W_dec=torch.ones(48, 16))
    x_BD = torch.ones(3, 16) + sae.b_dec
    for dtype in (torch.float32, torch.bfloat16):
        assert encoded(sae, x_BD, way, dtype, monkeypatch).latent_N.view(3, 5).tolist() == [[0, 1, 2, 3, 4]] * 3


@pytest.mark.parametrize("architecture", ["topk", "jumprelu"])
def test_a_token_fires_the_same_bits_whatever_stands_beside_it(architecture, monkeypatch):
    sae, x_BD = random_sae(architecture), activations(64)
    whole = sae.encode_sparse(x_BD).dense()
    alone = torch.cat([sae.encode_sparse(row_D[None]).dense() for row_D in x_BD])
    assert torch.equal(whole, alone)
    monkeypatch.setattr(encoder_chunks, "SMALLEST_CHUNK", 1)
    monkeypatch.setattr(encoder_chunks, "CHUNK_ELEMENTS", {"cpu": 48 * 7})
    assert torch.equal(whole, sae.encode_sparse(x_BD).dense())


@every_way
def test_values_beyond_bfloat16_and_infinities_are_decided_exactly(way, monkeypatch):
    """Numbers that bfloat16 rounds to infinity, and a token that is infinite itself."""
    sae = replace(random_sae("standard"), W_enc=torch.eye(16, 48), b_enc=torch.zeros(48), b_dec=torch.zeros(16))
    largest = torch.finfo(torch.float32).max
    x_BD = torch.zeros(4, 16)
    x_BD[0, 2], x_BD[1, 3], x_BD[2, 4], x_BD[2, 5], x_BD[3, 1] = largest, -largest, largest, 1.0, torch.inf
    found = encoded(sae, x_BD, way, torch.bfloat16, monkeypatch)
    finite = found.token_N < 3
    places = list(zip(found.token_N[finite].tolist(), found.latent_N[finite].tolist(), found.value_N[finite].tolist()))
    assert places == [(0, 2, largest), (2, 4, largest), (2, 5, 1.0)]


@every_way
def test_a_latent_whose_threshold_is_infinite_never_fires_and_costs_nothing(way):
    encoder = ExactEncoder(torch.eye(4), torch.zeros(4), rows_for("cpu", way), torch.bfloat16)
    ((_, found),) = encoder.above(torch.ones(2, 4), torch.tensor([0.5, torch.inf, 0.5, torch.inf]))
    assert found.latent_N.tolist() == [0, 2, 0, 2]
