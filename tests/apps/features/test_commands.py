"""The commands about features, in words and as JSON."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.features.models import FeatureRun
from tests.apps.features.map_worlds import map_make
from tests.apps.features.worlds import finished_run_make, sae_make

pytestmark = pytest.mark.django_db


def said(*arguments, **options):
    out = StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


def test_feature_run_queues_a_job_about_the_new_run():
    sae = sae_make()
    job = json.loads(said("feature_run", f"--sae={sae.pk}", f"--tokenization={sae.tokenization_id}", "--json"))
    assert job["kind"] == "feature_run" and job["state"] == "queued"
    assert job["subject"]["id"] == FeatureRun.objects.get().pk


def test_feature_list_filters_and_sorts_as_json():
    sae = sae_make()
    finished_run_make(sae)
    found = json.loads(said("feature_list", f"--sae={sae.pk}", "--min-density=0.003", "--sort=density", "--json"))
    assert [feature["index"] for feature in found] == [5, 4, 3]


def test_feature_list_refuses_a_filter_that_is_no_number():
    with pytest.raises(CommandError, match="min_density"):
        said("feature_list", f"--sae={sae_make().pk}", "--min-density=many")


def test_feature_show_has_statistics_logits_and_examples():
    sae = sae_make()
    finished_run_make(sae)
    shown = json.loads(said("feature_show", str(sae.pk), "2", "--json"))
    assert shown["statistics"]["firings"] == 20
    assert shown["logits"]["promoted"][0] == {"token": "Ġwind", "text": " wind", "value": 2.0}
    assert shown["examples"][0]["examples"][0]["tokens"] == ["Ġthe", "Ġthe", "Ġsun", ".", "."]
    lines = said("feature_show", str(sae.pk), "2").splitlines()
    assert "  peaks on    sun (100 %)" in lines and "  density     0.2 %, 20 firings" in lines
    assert "  suppressed  <b> ·wind" in lines


def test_feature_show_before_any_run_says_what_to_do():
    with pytest.raises(CommandError, match="feature_run"):
        said("feature_show", str(sae_make().pk), "2")


def test_feature_label_changes_only_what_was_given():
    sae = sae_make()
    finished_run_make(sae)
    said("feature_label", str(sae.pk), "2", "--label=sunshine", "--category=Weather>Good", "--star")
    feature = json.loads(said("feature_label", str(sae.pk), "2", "--notes=bright", "--json"))
    assert (feature["label"], feature["category"]) == ("sunshine", "Weather > Good")
    assert feature["is_starred"] and feature["notes"] == "bright"


def test_feature_runs_are_listed_and_deleted_and_words_stay():
    sae = sae_make()
    run = finished_run_make(sae)
    said("feature_label", str(sae.pk), "2", "--label=sunshine")
    (row,) = json.loads(said("feature_run_list", "--json"))
    assert (row["id"], row["alive"], row["readable"], row["ready"]) == (run.pk, 5, 2, True)
    assert "Tiny SAE" in said("feature_run_list", "--query=tiny")
    assert json.loads(said("feature_run_list", "--query=other", "--json")) == []
    freed = json.loads(said("feature_run_delete", str(run.pk), "--json"))
    assert freed["deleted"] == run.pk and freed["freed_bytes"] > 1000
    assert not FeatureRun.objects.exists() and sae.features.get(index=2).label == "sunshine"
    with pytest.raises(CommandError, match="no feature run"):
        said("feature_run_delete", str(run.pk))


def test_feature_maps_are_listed_and_deleted():
    sae = sae_make()
    finished_run_make(sae)
    made = map_make(sae, is_ready=True)
    (row,) = json.loads(said("feature_map_list", "--json"))
    assert (row["id"], row["method"], row["ready"]) == (made.pk, "graph", True)
    assert "Deleted" in said("feature_map_delete", str(made.pk))
    assert json.loads(said("feature_map_list", "--json")) == [] and not made.folder.exists()
