"""What is said before a run starts: settings that are allowed and seldom meant, and the L0 that earlier runs had."""

import pytest
from django.utils import timezone

from apps.training.models import RunMember, TrainingRun
from apps.training.origins import origin_of
from apps.training.validating import expected_l0, tokens_there, warnings_of
from tests.apps.training.worlds import cache_make, run_make, spec_make, text_spec_make

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
CALM = {"dead_after_tokens": 1_000, "checkpoint_every": 50}
"""With these the small run of worlds.py gives no reason for a warning."""


def said(spec) -> list[str]:
    return warnings_of(spec, origin_of(spec))


def test_a_usual_run_is_not_warned_of():
    assert said(spec_make(cache_make(), **CALM)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"k": 7}, "k = 7 is more than a tenth of d_sae = 64"),
        ({"sweep_k": (2, 9), "sweep_d_sae": (80, 160)}, "k = 9 is more than a tenth of d_sae = 80"),
        ({"architecture": "standard", "l1_coefficient": 0.0005}, "An L1 coefficient of 0.0005 is outside"),
        ({"architecture": "jumprelu", "sweep_coefficient": (1.0, 50.0)}, "An L0 coefficient of 50 is outside"),
        ({"steps": 1_000}, "Every token is read 33 times"),
        ({"lr_warmup_steps": 100}, "The learning rate is still rising"),
        ({"architecture": "gated", "sparsity_warmup_steps": 200}, "The sparsity coefficient is still rising"),
        ({"dead_after_tokens": 20_000}, "No latent can be counted dead"),
        ({"checkpoint_every": 101}, "no checkpoint before the end"),
    ],
)
def test_what_is_seldom_meant_is_said(changes, words):
    usual = CALM | ({} if changes.get("architecture") == "gated" else {"sparsity_warmup_steps": 10})
    found = said(spec_make(cache_make(), **{**usual, **changes}))
    assert len(found) == 1 and words in found[0]


def test_text_that_holds_nothing_back_is_said():
    assert "holds nothing back" in said(text_spec_make(cache_make(heldout_contexts=0), **CALM))[0]
    assert said(text_spec_make(cache_make(), **CALM)) == []


def test_tokens_of_a_text_are_its_contexts():
    cache = cache_make()
    assert tokens_there(origin_of(spec_make(cache))) == 3_000
    assert tokens_there(origin_of(text_spec_make(cache))) == 100 * 32


def finished(cache, l0: float, **changes) -> None:
    run = run_make(cache, **{"architecture": "standard", **changes})
    TrainingRun.objects.filter(pk=run.pk).update(ready_at=timezone.now())
    RunMember.objects.filter(run=run).update(l0=l0)


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
