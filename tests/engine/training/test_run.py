"""What a run decided for itself is recorded, and a resumed run goes on with it."""

import json
import sys
from pathlib import Path

import pytest

from tests.engine.training.worlds import Wishing, inputs, sae_folder, same, spec, weights
from workers.engine.progress import Progress, Stopped
from workers.engine.saes.sparse_rows import rows_for
from workers.engine.specs.errors import EngineError
from workers.engine.training.checkpoints import checkpoint_latest
from workers.engine.training.training import train

needs_numba = pytest.mark.skipif(rows_for("cpu").NAME != "numba", reason="numba is missing")


def without_numba(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "numba", None)
    for name in ("kernels", "candidate_kernels", "compiled"):
        patch.delitem(sys.modules, f"workers.engine.saes.{name}", raising=False)


def begin(where, at: int = 10):
    with pytest.raises(Stopped):
        train(spec(), where, Wishing("pause", at))


def effective(where) -> dict:
    return json.loads((sae_folder(where) / "provenance.json").read_text())["effective"]


@needs_numba
def test_a_run_begun_without_numba_ends_without_it_to_the_bit(cache, tmp_path, monkeypatch):
    whole, parts, usual = (inputs(tmp_path, cache, job) for job in ("whole", "parts", "usual"))
    with monkeypatch.context() as patch:
        without_numba(patch)
        train(spec(), whole, Progress())
        begin(parts)
    train(spec(), parts, Progress())
    train(spec(), usual, Progress())
    assert effective(whole)["sparse_rows"] == effective(parts)["sparse_rows"] == "torch"
    assert effective(usual)["sparse_rows"] == "numba"
    assert same(weights(whole), weights(parts))
    assert not same(weights(whole), weights(usual))


@needs_numba
def test_a_run_begun_with_numba_is_refused_where_that_is_missing(cache, tmp_path, monkeypatch):
    where = inputs(tmp_path, cache)
    begin(where)
    without_numba(monkeypatch)
    with pytest.raises(EngineError, match="numba") as refused:
        train(spec(), where, Progress())
    assert "fast" in refused.value.hint


def test_checkpoints_that_name_no_way_go_on_with_pytorch(cache, tmp_path):
    where = inputs(tmp_path, cache)
    begin(where)
    state = checkpoint_latest(Path(where.job_dir) / "checkpoints").folder / "state.json"
    old = json.loads(state.read_text())
    del old["effective"]["sparse_rows"]
    state.write_text(json.dumps(old))
    train(spec(), where, Progress())
    assert effective(where)["sparse_rows"] == "torch"
