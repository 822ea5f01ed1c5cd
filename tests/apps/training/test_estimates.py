"""What a run will need: memory by the engine's formula for the rows behind a Spec, time from earlier runs."""

import pytest

from apps.training.estimates import device_fits, training_estimate
from apps.training.models import TrainingRun
from apps.training.origins import origin_of
from tests.apps.training.worlds import D_IN, cache_make, run_finish, run_make, spec_make
from workers.engine.specs.training_memory import training_memory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def test_memory_is_the_engines_formula_for_the_caches_width():
    spec = spec_make(cache_make(), sweep_k=(2, 4, 8))
    estimate = training_estimate(spec=spec, origin=origin_of(spec))
    assert estimate.memory == training_memory(spec, [(D_IN, D_IN)])
    assert estimate.cache_bytes == 3_000 * D_IN * 2
    assert estimate.seconds is None


def test_time_comes_from_earlier_runs_in_proportion_to_what_is_trained():
    cache = cache_make()
    run_finish(run_make(cache))
    TrainingRun.objects.update(tokens_per_s=500.0)
    one, three = spec_make(cache), spec_make(cache, sweep_k=(2, 4, 8))
    alone = training_estimate(spec=one, origin=origin_of(one))
    assert (alone.seconds, alone.from_runs) == (pytest.approx(one.steps * one.batch_size / 500), 1)
    assert training_estimate(spec=three, origin=origin_of(three)).seconds == pytest.approx(3 * alone.seconds)


def test_every_device_says_whether_the_run_fits():
    spec = spec_make(cache_make())
    fits = device_fits(spec=spec, origin=origin_of(spec))
    assert fits[0].device == "cpu" and fits[0].verdict.word == "fits" and fits[0].largest_d_sae > spec.d_sae
