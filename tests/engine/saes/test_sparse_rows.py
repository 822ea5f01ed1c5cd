"""What sparse steps do with rows, by PyTorch and by numba: beside plain dense arithmetic, and in every architecture's step."""

import os
import subprocess
import sys

import pytest
import torch

from tests.engine.saes.worlds import activations
from workers.engine.saes import encoder_chunks, pairwise
from workers.engine.saes.base import Batch, StepContext, TrainingSae
from workers.engine.saes.pairs import ActivePairs
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.saes.sparse_rows import TORCH_ROWS, SparseRows, rows_for
from workers.engine.specs.training import TRANSCODERS, TrainSpec

NUMBA_IS_THERE = rows_for("cpu").NAME == "numba"
every_way = pytest.mark.parametrize(
    "way", ["torch", pytest.param("numba", marks=pytest.mark.skipif(not NUMBA_IS_THERE, reason="numba is missing"))]
)
needs_numba = pytest.mark.skipif(not NUMBA_IS_THERE, reason="numba is missing")
BOTH = ["torch", "numba"]
D, F = 16, 48


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def without_numba(monkeypatch):
    """As where it is not installed."""
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in ("kernels", "candidate_kernels", "compiled"):
        monkeypatch.delitem(sys.modules, f"workers.engine.saes.{name}", raising=False)


@pytest.fixture
def threads():
    """Sets PyTorch's number of threads for one test."""
    usual = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(usual)


@every_way
@pytest.mark.parametrize("columns, k", [(48, 5), (49, 1), (1000, 32), (4608, 32), (460, 288), (7, 7), (1, 1)])
def test_the_k_largest_are_found_with_their_values(way, columns, k):
    p_CF, weight_F = normal(60, columns), normal(columns, seed=1).abs() + 0.1
    column_CK, p_CK = rows_for("cpu", way).top_k(p_CF, weight_F, k)
    expected_CK = (p_CF * weight_F).topk(k).indices
    assert torch.equal(column_CK.sort().values, expected_CK.sort().values)
    assert torch.equal(p_CK, p_CF.gather(1, column_CK))


@every_way
def test_rows_of_equal_values_of_zeros_and_of_infinities_have_k_columns_too(way):
    p_CF = torch.stack(
        [torch.ones(F), torch.zeros(F), -torch.zeros(F), torch.full((F,), -torch.inf), normal(F).round()]
    )
    p_CF[3, 7] = torch.inf
    column_CK, p_CK = rows_for("cpu", way).top_k(p_CF, torch.ones(F), 5)
    assert all(len(set(columns)) == 5 for columns in column_CK.tolist())
    assert torch.equal(p_CK.sort(descending=True).values, p_CF.topk(5).values)


@every_way
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_nan_counts_as_the_largest_whatever_its_sign(way, sign):
    p_CF = normal(3, F)
    p_CF[1, 40] = torch.copysign(torch.tensor(torch.nan), torch.tensor(sign))
    column_CK, p_CK = rows_for("cpu", way).top_k(p_CF, torch.ones(F), 5)
    assert p_CK.isnan().sum(1).tolist() == [0, 1, 0]
    assert 40 in column_CK[1]


@every_way
def test_the_pairs_above_the_floor_are_listed_in_order_with_nan_among_them(way):
    p_CF, floor_F = normal(60, F), normal(F, seed=1)
    p_CF[3] = -100.0
    p_CF[5, 6], p_CF[59, 47], p_CF[7, 8] = torch.nan, torch.inf, floor_F[8]
    row_N, column_N, p_N = rows_for("cpu", way).above(p_CF, floor_F)
    expected_NP = (p_CF <= floor_F).logical_not().nonzero()
    assert torch.equal(torch.stack([row_N, column_N], 1), expected_NP)
    assert torch.equal(p_N.nan_to_num(), p_CF[row_N, column_N].nan_to_num())
    assert [len(part) for part in rows_for("cpu", way).above(p_CF[3:4], floor_F)] == [0, 0, 0]


@every_way
def test_pre_activations_in_bfloat16_are_searched_too(way):
    p_CF, weight_F = normal(60, 400).bfloat16(), normal(400, seed=1).abs()
    rows = rows_for("cpu", way)
    column_CK, p_CK = rows.top_k(p_CF, weight_F, 7)
    assert torch.equal((p_CK * weight_F[column_CK]).sort().values, (p_CF * weight_F).topk(7).values.sort().values)
    assert rows.above(p_CF, weight_F)[2].float().sum() == pytest.approx(
        p_CF[p_CF > weight_F].float().sum().item(), rel=1e-5
    )


@every_way
@pytest.mark.parametrize("width", [1, 5, 576])
def test_products_of_pairs_are_the_dense_ones(way, width):
    x_BD, W_FD, mask_BF = normal(30, width), normal(F, width, seed=1), normal(30, F, seed=2) > 1
    token_N, latent_N = mask_BF.nonzero(as_tuple=True)
    value_N = normal(len(token_N), seed=3)
    pairs = ActivePairs(token_N, latent_N, 30, F, rows_for("cpu", way))
    dense_BF = torch.zeros(30, F).index_put((token_N, latent_N), value_N)
    assert torch.allclose(pairs.dot(x_BD, W_FD), (x_BD @ W_FD.T)[mask_BF], atol=1e-4)
    assert torch.allclose(pairs.decode(value_N, W_FD), dense_BF @ W_FD, atol=1e-4)
    assert torch.allclose(pairs.sum_rows(value_N, x_BD), dense_BF.T @ x_BD, atol=1e-4)


def training_sae(architecture: str, way: str, dtype=torch.float32) -> TrainingSae:
    """Decoder rows of different lengths, encoder apart from decoder, few latents above their thresholds."""
    options = {"k": 5, "l0_coefficient": 0.7, "l1_coefficient": 0.7, "bandwidth": 0.8, "initial_threshold": 0.5}
    spec = TrainSpec(activation_cache=1, architecture=architecture, d_sae=F, sparsity_warmup_steps=0, **options)
    sae = TRAINING_SAES[architecture](spec, D, matmul_dtype=dtype)
    sae.rows = rows_for("cpu", way)
    sae.weights += normal(len(sae.weights), seed=3) * 0.1
    return sae


@every_way
@pytest.mark.parametrize("dead", [0, 3, 30])
@pytest.mark.parametrize("architecture", sorted(TRAINING_SAES))
def test_every_step_has_the_gradients_of_autograd(architecture, dead, way, monkeypatch):
    monkeypatch.setattr(pairwise, "DENSE_SHARE", 1.0)
    monkeypatch.setattr(encoder_chunks, "CHUNK_ELEMENTS", {"cpu": 100 * F})
    monkeypatch.setattr(encoder_chunks, "SMALLEST_CHUNK", 100)
    x_BD = activations(256, D) / 3
    batch = Batch(x_BD, x_BD.flip(0) if architecture in TRANSCODERS else x_BD)
    context = StepContext(step=0, dead_F=torch.arange(F) < dead)
    fast, reference = training_sae(architecture, way), training_sae(architecture, way)
    quick, plain = fast.step(batch, context), TrainingSae.step(reference, batch, context)
    for name, ours, autograd in zip(fast.gradients._fields, fast.gradients, reference.gradients):
        assert (ours - autograd).norm() <= 1e-5 * autograd.norm(), name
    for name in fast.LOSSES:
        assert torch.allclose(quick.losses[name], plain.losses[name], rtol=1e-5), name
    assert torch.equal(quick.fired_F, plain.fired_F)
    if "aux" in fast.LOSSES and architecture != "gated":
        assert (quick.losses["aux"] > 0) == (dead > 0)


@needs_numba
@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "jumprelu"])
def test_both_ways_choose_the_same_pairs_when_products_are_in_bfloat16(architecture):
    x_BD = activations(256, D) / 3
    ours, theirs = (training_sae(architecture, way, torch.bfloat16) for way in BOTH)
    fired = [sae.step(Batch(x_BD, x_BD), StepContext(step=0)).fired_F for sae in (ours, theirs)]
    assert torch.equal(*fired)
    assert (ours.weights.grad - theirs.weights.grad).norm() <= 1e-5 * ours.weights.grad.norm()


@needs_numba
def test_kernels_give_the_same_bits_again_and_with_any_number_of_threads(threads):
    p_CF, x_BD, W_FD = normal(301, 400), normal(301, 37, seed=1), normal(400, 37, seed=2)
    rows = rows_for("cpu", "numba")
    found = []
    for count in (1, 1, 2, 3):
        threads(count)
        pairs, p_N = ActivePairs.above(p_CF, torch.ones(400), 0, rows)
        found.append((*rows.top_k(p_CF, torch.ones(400), 9), pairs.token_N, p_N, pairs.dot(x_BD, W_FD)))
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other))


@needs_numba
def test_kernels_work_in_a_forked_process(threads):
    threads(2)
    rows, p_CF = rows_for("cpu", "numba"), normal(64, F)
    rows.top_k(p_CF, torch.ones(F), 3)
    child = os.fork()
    if child == 0:
        rows.top_k(p_CF, torch.ones(F), 3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_numba
def test_numba_is_what_a_cpu_gets_where_it_is_installed():
    assert rows_for("cpu").NAME == "numba"
    assert rows_for("cuda:0").NAME == rows_for("cuda:0", "numba").NAME == "torch"
    assert rows_for("cpu", "torch") is TORCH_ROWS


def test_without_numba_all_is_done_by_pytorch(without_numba):
    assert type(rows_for("cpu")) is SparseRows
    assert training_sae("topk", "torch").rows is TORCH_ROWS
    with pytest.raises(ImportError):
        rows_for("cpu", "numba")


@needs_numba
def test_kernels_load_where_their_folder_is_not_to_be_written():
    """As in an installation of another user: nothing is kept, the kernels work."""
    program = (
        "import os; os.access = lambda path, mode: False\n"
        "import torch; from workers.engine.saes import kernels\n"
        "print(kernels.NumbaRows().above(torch.tensor([[1.0, -1.0]]), torch.zeros(2))[1].tolist(), kernels._dot._cache)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[0] ")
    assert "NullCache" in done.stdout
