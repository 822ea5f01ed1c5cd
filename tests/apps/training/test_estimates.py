"""What a run will need: memory by the engine's formula for the rows behind a Spec, time from earlier runs."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.training.estimates import device_fits, training_estimate
from apps.training.models import TrainingRun
from apps.training.origins import origin_of
from apps.training.services import training_start
from tests.apps.training.worlds import D_IN, cache_make, point, run_finish, run_make, spec_make, text_spec_make
from workers.engine.specs.training_memory import training_memory
from workers.runners.train import TrainRunner

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


def test_the_start_of_an_earlier_run_counts_once_and_not_for_every_token():
    cache = cache_make()
    run = run_make(cache)
    run_finish(run)
    slow_start = [point(10, time_s=60.0), point(20, time_s=61.0), point(30, time_s=62.0)]  # 1,000 tokens a second
    TrainRunner().metrics(run.job, slow_start)
    TrainingRun.objects.update(tokens_per_s=48.0)
    spec = spec_make(cache)
    with CaptureQueriesContext(connection) as queries:
        estimate = training_estimate(spec=spec, origin=origin_of(spec))
    assert estimate.seconds == pytest.approx(60 + spec.steps * spec.batch_size / 1000)
    assert len(queries) < 12


def test_the_language_model_counts_where_it_runs_along_or_measures_ce():
    cache = cache_make()
    with_ce, without, text = spec_make(cache, ce_contexts=4), spec_make(cache, ce_contexts=0), text_spec_make(cache)
    found = [training_estimate(spec=spec, origin=origin_of(spec)) for spec in (with_ce, without, text)]
    assert found[1].lm_bytes == 0 < found[0].lm_bytes <= found[2].lm_bytes
    assert found[0].total_bytes == found[0].memory.total_bytes + found[0].lm_bytes


def test_beside_the_language_model_less_fits():
    cache = cache_make()
    with_ce, without = (
        device_fits(spec=s, origin=origin_of(s))[0] for s in (spec_make(cache), spec_make(cache, ce_contexts=0))
    )
    assert with_ce.largest_d_sae <= without.largest_d_sae


def test_every_device_says_whether_the_run_fits():
    spec = spec_make(cache_make())
    fits = device_fits(spec=spec, origin=origin_of(spec))
    assert fits[0].device == "cpu" and fits[0].verdict.word == "fits" and fits[0].largest_d_sae > spec.d_sae


def test_text_is_timed_by_runs_on_text_of_the_same_model_whatever_they_trained():
    cache = cache_make()
    run_finish(run_make(cache))
    earlier = training_start(spec=text_spec_make(cache))
    TrainingRun.objects.filter(pk=earlier.pk).update(tokens_per_s=200.0)
    TrainingRun.objects.filter(activation_cache__isnull=False).update(tokens_per_s=50_000.0)
    spec = text_spec_make(cache, sweep_k=(2, 4, 8), hook_sites=("3.resid_post", "2.resid_post"))
    estimate = training_estimate(spec=spec, origin=origin_of(spec))
    assert (estimate.seconds, estimate.from_runs) == (pytest.approx(spec.steps * spec.batch_size / 200), 1)
    assert estimate.cache_bytes == 0
    assert estimate.memory == training_memory(spec, [(D_IN, D_IN)] * 2)


def test_a_sweep_is_judged_by_its_largest_step_and_all_of_its_states():
    cache = cache_make()
    one, wide, both = (spec_make(cache, sweep_d_sae=widths) for widths in ((64,), (256,), (64, 256)))
    alone, large, sweep = (training_estimate(spec=s, origin=origin_of(s)).memory for s in (one, wide, both))
    assert sweep.state_bytes == alone.state_bytes + large.state_bytes and sweep.passing_bytes == large.passing_bytes
