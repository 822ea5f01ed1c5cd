"""The points of the charts: every number at every point, and what the numbers are."""

import math

import pytest

from tests.engine.training.worlds import Wishing, cached, inputs, sae_folder, spec
from workers.engine.activations.cache import batch_indices
from workers.engine.formats.saelens import sae_read
from workers.engine.metrics import HISTOGRAM_EDGES
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.training.log_window import term_name
from workers.engine.training.training import train

COMMON = {
    "loss", "l0", "l1", "fvu", "explained_variance", "dead_share", "learning_rate", "grad_norm", "tokens",
    "tokens_per_s", "device_bytes", "time_s",
}  # fmt: skip


def points_of(wanted, where) -> list[dict]:
    progress = Wishing("none", 10**9)
    train(wanted, where, progress)
    return progress.of("metrics")


@pytest.mark.parametrize("architecture", sorted(TRAINING_SAES))
def test_the_charts_get_every_metric_at_every_log_step(architecture, cache_for, tmp_path):
    sae = TRAINING_SAES[architecture]
    points = points_of(spec(architecture, steps=12), inputs(tmp_path, cache_for(architecture)))
    terms = {term_name(name) for name in sae.LOSSES}
    assert [point["step"] for point in points] == [5, 10, 12]
    for point in points:
        values = point["values"]
        assert set(values) - {"density_histogram"} == COMMON | terms | set(sae.REPORTED)
        numbers = [value for name, value in values.items() if name != "density_histogram"]
        assert all(math.isfinite(value) for value in numbers)
        assert values["explained_variance"] == pytest.approx(1 - values["fvu"])
        assert values["loss"] == pytest.approx(sum(values[name] for name in terms), rel=1e-5)
    assert points[-1]["values"]["tokens"] == 12 * 64


def test_progress_is_told_at_every_step(cache, tmp_path):
    progress = Wishing("none", 10**9)
    train(spec(steps=12), inputs(tmp_path, cache), progress)
    reached = [line["done"] for line in progress.of("progress") if line["phase"] == "training"]
    assert reached == [0, *range(13)]


def test_the_histogram_of_densities_comes_with_every_tenth_point_and_the_last(cache, tmp_path):
    points = points_of(spec(steps=48, log_every=2), inputs(tmp_path, cache))
    with_histogram = {point["step"]: point["values"] for point in points if "density_histogram" in point["values"]}
    assert list(with_histogram) == [20, 40, 48]
    for values in with_histogram.values():
        assert len(values["density_histogram"]) == len(HISTOGRAM_EDGES) - 1
        assert 0 < sum(values["density_histogram"]) <= 48


def test_l1_is_the_sum_of_latents_in_the_gauge_of_unit_decoder_rows(cache, tmp_path):
    where = inputs(tmp_path, cache)
    last = points_of(spec(log_every=1), where)[-1]["values"]
    sae, x = sae_read(sae_folder(where)), cached(cache)
    factor = 4 / x.norm(dim=1).mean().item()
    newest = x[batch_indices(len(x), 64, seed=0, step=29)]
    assert last["l1"] == pytest.approx(sae.encode(newest).sum(1).mean().item() * factor, rel=1e-4)


def test_a_loss_term_named_like_a_metric_is_told_apart():
    assert [term_name(name) for name in ("mse", "l1", "l0", "aux")] == ["mse", "l1_loss", "l0_loss", "aux"]
