"""The commands about steering, in words and as JSON."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.apps.features.worlds import finished_run_make, sae_make
from tests.apps.steering.worlds import finished_experiment_make

pytestmark = pytest.mark.django_db


def said(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_steer_reads_features_and_strengths_from_one_argument():
    sae = sae_make()
    finished_run_make(sae)
    job = json.loads(said("steer", f"--sae={sae.pk}", "--features=4:3,2:-1.5", "--prompt=The weather", "--json"))
    assert job["kind"] == "steer"
    assert job["spec"]["features"] == [{"index": 4, "strength": 3.0}, {"index": 2, "strength": -1.5}]


def test_steer_says_why_a_feature_cannot_be_steered():
    sae = sae_make()
    with pytest.raises(CommandError, match="0 to 5"):
        said("steer", f"--sae={sae.pk}", "--features=6:3", "--prompt=The weather")


def test_experiment_list_as_json_holds_both_texts():
    experiment = finished_experiment_make(sae_make())
    listed = json.loads(said("experiment_list", "--json"))
    assert [entry["id"] for entry in listed] == [experiment.pk]
    assert (listed[0]["baseline"]["text"], listed[0]["steered"]["text"]) == (" is cold", " is wind")
    assert "4:3" in said("experiment_list")
