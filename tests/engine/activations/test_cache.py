"""Reading a cache: rows across shards, and an order of batches that (seed, step) alone decides."""

import json

import pytest
import torch

from workers.engine.activations.cache import ActivationCache, batch_indices
from workers.engine.activations.shards import ShardWriter
from workers.engine.specs.activations import ActivationCacheResult
from workers.engine.specs.errors import BadArtifact

D = 6
X_ND = torch.randn(50, D, generator=torch.Generator().manual_seed(0)).bfloat16()


def written(folder, *, rows_per_shard):
    """A cache of X_ND, added in uneven pieces."""
    writer = ShardWriter(folder, D, shard_bytes=rows_per_shard * D * 2)
    for piece in X_ND.split([1, 20, 0, 26, 3]):
        writer.add(piece)
    writer.close()
    numbers = ActivationCacheResult(
        tokens=writer.tokens,
        tokens_run=60,
        contexts=6,
        first_positions=6,
        sink_tokens=4,
        sink_threshold=10.0,
        median_norm=2.0,
        mean_norm=writer.mean_norms[0],
        d_in=D,
        lm_dtype="float32",
        tokens_per_s=1.0,
        bytes=1,
        activations_sha256=writer.sha256,
    )
    (folder / "cache.json").write_text(json.dumps(numbers.to_json()))
    return numbers


@pytest.mark.parametrize("rows_per_shard", [1, 7, 50, 1000])
def test_rows_come_in_the_order_asked_for_whatever_the_shards(tmp_path, rows_per_shard):
    written(tmp_path, rows_per_shard=rows_per_shard)
    cache = ActivationCache.open(tmp_path)
    indices = torch.tensor([49, 0, 7, 6, 7, 48, 13, 14, 21])
    assert torch.equal(cache.rows(indices), X_ND[indices])
    assert torch.equal(cache.rows(torch.arange(50)), X_ND)


def test_statistics_are_those_of_all_rows(tmp_path):
    written(tmp_path, rows_per_shard=9)
    cache = ActivationCache.open(tmp_path)
    assert (cache.tokens, cache.d_in) == (50, D)
    assert torch.allclose(cache.mean, X_ND.float().mean(0), atol=1e-6)
    assert cache.mean_norm == pytest.approx(X_ND.float().norm(dim=-1).mean().item(), rel=1e-6)


def test_the_hash_does_not_depend_on_where_shards_begin(tmp_path):
    hashes = set()
    for rows in (3, 50):
        (folder := tmp_path / str(rows)).mkdir()
        hashes.add(written(folder, rows_per_shard=rows).activations_sha256)
    assert len(hashes) == 1


def test_a_missing_shard_is_noticed(tmp_path):
    written(tmp_path, rows_per_shard=20)
    (tmp_path / "shard-00001.safetensors").unlink()
    with pytest.raises(BadArtifact, match="missing"):
        ActivationCache.open(tmp_path)


def test_a_truncated_shard_is_noticed(tmp_path):
    written(tmp_path, rows_per_shard=20)
    shard = tmp_path / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(BadArtifact):
        ActivationCache.open(tmp_path)


def test_a_folder_without_a_cache_is_refused(tmp_path):
    with pytest.raises(BadArtifact):
        ActivationCache.open(tmp_path)


def test_each_epoch_covers_every_token_once_though_batches_run_over_its_border():
    tokens, batch = 10, 4
    stream = torch.cat([batch_indices(tokens, batch, 3, step) for step in range(15)])
    for epoch in stream.split(tokens):
        assert sorted(epoch.tolist()) == list(range(tokens))


def test_a_batch_larger_than_the_cache_takes_whole_epochs():
    assert torch.bincount(batch_indices(5, 12, 0, 0)).tolist().count(3) == 2


def test_seed_and_step_alone_decide_a_batch():
    forward = [batch_indices(100, 8, 1, step).tolist() for step in range(40)]
    backward = [batch_indices(100, 8, 1, step).tolist() for step in reversed(range(40))]
    assert forward == backward[::-1]
    torch.manual_seed(9)
    assert batch_indices(100, 8, 1, 17).tolist() == forward[17]


def test_another_seed_and_another_epoch_give_another_order():
    first, second = batch_indices(100, 100, 0, 0), batch_indices(100, 100, 0, 1)
    assert not torch.equal(first, second)
    assert not torch.equal(first, batch_indices(100, 100, 1, 0))
