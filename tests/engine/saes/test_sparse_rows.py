"""The sparse products against the dense ones they stand for."""

import torch

from workers.engine.saes.sparse_rows import rows_dot, rows_scatter, rows_sum

B, K, F, D = 7, 3, 11, 5
GENERATOR = torch.Generator().manual_seed(0)
X_BD, W_FD = torch.randn(B, D, generator=GENERATOR), torch.randn(F, D, generator=GENERATOR)
ROWS_BK = torch.stack([torch.randperm(F, generator=GENERATOR)[:K] for _ in range(B)])
VALUES_BK = torch.randn(B, K, generator=GENERATOR)
DENSE_BF = torch.zeros(B, F).scatter(1, ROWS_BK, VALUES_BK)


def test_rows_sum_is_the_dense_decoder():
    assert torch.allclose(rows_sum(VALUES_BK, ROWS_BK, W_FD), DENSE_BF @ W_FD, atol=1e-6)


def test_rows_dot_is_the_chosen_part_of_the_dense_encoder():
    assert torch.allclose(rows_dot(X_BD, ROWS_BK, W_FD), (X_BD @ W_FD.T).gather(1, ROWS_BK), atol=1e-6)


def test_rows_scatter_is_the_dense_weight_gradient_and_leaves_untouched_rows_zero():
    scattered = rows_scatter(VALUES_BK, ROWS_BK, X_BD, F)
    assert torch.allclose(scattered, DENSE_BF.T @ X_BD, atol=1e-6)
    untouched = sorted(set(range(F)) - set(ROWS_BK.flatten().tolist()))
    assert (scattered[untouched] == 0).all()
