"""The form of a new run: every option once, in its section, and only where it matters."""

import re

import pytest

from apps.training.forms import SECTIONS, train_form
from tests.apps.training.worlds import cache_make
from workers.engine.specs.training import ARCHITECTURES, TrainSpec

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def section(form, title):
    return next(each for each in form.sections if each.title == title)


def test_every_option_stands_in_one_section():
    named = [name for names in SECTIONS.values() for name in names]
    assert sorted(named) == sorted(TrainSpec.options())


def test_a_section_shows_the_usual_options_and_folds_the_others():
    form = train_form()()
    architecture = section(form, "Architecture")
    assert {"architecture", "d_sae", "k", "l1_coefficient"} <= {field.name for field in architecture.basic}
    assert {"aux_k", "bandwidth"} <= {field.name for field in architecture.advanced}
    assert not section(form, "Sweep").basic and section(form, "Sweep").folded == "Values to sweep"
    assert section(form, "Run").folded == "More options"


def test_a_folded_part_opens_only_where_something_was_refused(client_in):
    cache = cache_make()
    body = {"activation_cache": cache.pk, "d_sae": 64, "k": 4, "batch_size": 100, "adam_beta1": 7}
    page = client_in.post("/training/new/", body).content.decode()
    assert re.findall(r'<details class="disclosure" open>\s*<summary>([\w ]+) <', page) == ["More options"]
    assert "The most allowed is 0.999999." in page


@pytest.mark.parametrize("architecture", [name for name, _ in ARCHITECTURES])
def test_an_architecture_has_one_option_for_its_sparsity(architecture):
    """Those that the browser shows: static/js/forms.js reads the same only_for."""
    form = train_form()()
    shown = [
        name
        for name in ("k", "l1_coefficient", "l0_coefficient")
        if architecture in form.fields[name].only_for[1] and form.fields[name].only_for[0] == "architecture"
    ]
    assert shown == [TrainSpec(activation_cache=1, architecture=architecture, d_sae=64).coefficient_name]


def test_options_without_meaning_keep_their_default_whatever_was_sent():
    cache = cache_make()
    sent = {
        "activation_cache": cache.pk,
        "d_sae": 64,
        "k": 4,
        "l0_loss": "quadratic",
        "target_l0": 9,
        "l1_coefficient": 3,
    }
    form = train_form()(sent)
    assert form.is_valid(), form.errors
    spec = form.spec()
    assert (spec.l0_loss, spec.target_l0, spec.l1_coefficient) == ("step", 32.0, 1.0)


def test_numbers_read_as_people_write_them():
    form = train_form()()
    shown = {
        name: form[name].value()
        for name in ("lr_decay_pct", "l1_coefficient", "learning_rate", "adam_eps", "target_l0")
    }
    assert shown == {
        "lr_decay_pct": "20", "l1_coefficient": "1", "learning_rate": "0.0003", "adam_eps": "1e-08", "target_l0": "32",
    }  # fmt: skip
