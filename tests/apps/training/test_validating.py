"""What is said before a run starts: settings that are allowed and seldom meant."""

import pytest

from apps.training.origins import origin_of
from apps.training.validating import special_words, tokens_there, warnings_of
from tests.apps.training.worlds import cache_make, spec_make, text_spec_make

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
        ({"lr_warmup_steps": 100}, "it reaches "),
        ({"architecture": "gated", "sparsity_warmup_steps": 200}, "it ends at "),
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


def test_the_share_of_special_tokens_is_said_and_whether_they_are_read():
    cache = cache_make()
    spec = text_spec_make(cache)
    assert special_words(spec, origin_of(spec)) == ""
    cache.tokenization.report |= {"special_tokens": 120, "special_share": 0.12}
    cache.tokenization.save()
    for options, words in (({}, "read as any other"), ({"leave_out_special": True}, "left out")):
        spec = text_spec_make(cache, **options)
        assert special_words(spec, origin_of(spec)) == f"12 % of the tokens of the text, {words}"
