"""What earlier SAEs say before a run starts: the L0 to expect, and what each sparsity came to."""

import pytest
from django.utils import timezone

from apps.training.earlier import earlier_saes, expected_l0
from apps.training.models import RunMember, TrainingRun
from apps.training.origins import origin_of
from tests.apps.training.worlds import cache_make, run_make, spec_make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def finished(cache, l0: float, fvu: float = 0.5, **changes) -> None:
    run = run_make(cache, **{"architecture": "standard", **changes})
    TrainingRun.objects.filter(pk=run.pk).update(ready_at=timezone.now())
    RunMember.objects.filter(run=run).update(l0=l0, fvu=fvu)


def test_expected_l0_spans_earlier_runs_of_the_same_kind_and_coefficient():
    cache = cache_make()
    spec = spec_make(cache, architecture="standard", l1_coefficient=1.0)
    finished(cache, 40.0, l1_coefficient=1.2)
    assert expected_l0(spec, origin_of(spec)) is None, "one run is no band"
    finished(cache, 90.0, l1_coefficient=0.8)
    finished(cache, 900.0, l1_coefficient=0.1)
    run_make(cache, architecture="standard")  # not finished
    assert expected_l0(spec, origin_of(spec)) == (40.0, 90.0)
    topk = spec_make(cache)
    assert expected_l0(topk, origin_of(topk)) is None


def test_expected_l0_of_a_target_comes_from_runs_with_such_a_target():
    cache = cache_make()
    aimed = {"architecture": "jumprelu", "l0_loss": "quadratic"}
    for l0, more in ((8.0, {"target_l0": 8.0}), (11.0, {"target_l0": 10.0}), (70.0, {"target_l0": 64.0})):
        finished(cache, l0, **aimed, **more)
    finished(cache, 300.0, architecture="jumprelu")
    near, step = (spec_make(cache, **more) for more in (aimed | {"target_l0": 9.0}, {"architecture": "jumprelu"}))
    assert expected_l0(near, origin_of(near)) == (8.0, 11.0)
    assert expected_l0(step, origin_of(step)) is None


def test_a_sweep_has_no_band_of_one_coefficient():
    cache = cache_make()
    for l0 in (40.0, 90.0):
        finished(cache, l0)
    spec = spec_make(cache, architecture="standard", sweep_coefficient=(0.1, 10.0))
    assert expected_l0(spec, origin_of(spec)) is None


def test_earlier_saes_are_named_once_for_each_sparsity_nearest_first(client_in):
    cache = cache_make()
    for coefficient, l0 in ((1.0, 103.0), (20.0, 9.0), (1.0, 99.0), *((100.0 * n, 1.0) for n in range(1, 6))):
        finished(cache, l0, fvu=l0 / 200, l1_coefficient=coefficient)
    finished(cache, 4.0, architecture="topk")
    spec = spec_make(cache, architecture="standard", l1_coefficient=2.0)
    found = [(member.sparsity, member.l0) for member in earlier_saes(spec, origin_of(spec))]
    assert found == [(1.0, 99.0), (20.0, 9.0), (100.0, 1.0), (200.0, 1.0), (300.0, 1.0), (400.0, 1.0)]
    body = {"activation_cache": cache.pk, "architecture": "standard", "batch_size": 100, "d_sae": 64}
    card = client_in.post("/training/new/estimate", body).content.decode()
    assert "Standard SAEs trained at 3.resid_post before" in card and "0.495" in card
    body |= {"architecture": "gated"}
    assert "trained at" not in client_in.post("/training/new/estimate", body).content.decode()
