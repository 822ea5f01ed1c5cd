"""Commands and the admin of presets."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from apps.presets.models import Preset
from tests.apps.presets.worlds import WIDE, make_preset, make_training_job

pytestmark = pytest.mark.django_db


def run(*words) -> str:
    out = StringIO()
    call_command(*map(str, words), stdout=out)
    return out.getvalue()


def test_presets_are_made_listed_changed_cloned_and_deleted_by_commands():
    made = json.loads(run("preset_create", "training", "wide", "--spec", json.dumps(WIDE), "--json"))
    assert made["spec"] == WIDE
    assert "wide" in run("preset_list", "--query", "wide")
    changed = json.loads(run("preset_change", made["id"], "--name", "wider", "--spec", '{"k": 8}', "--json"))
    assert (changed["name"], changed["spec"]) == ("wider", {"k": 8})
    assert json.loads(run("preset_favourite", made["id"], "--json"))["is_favourite"]
    assert not json.loads(run("preset_favourite", made["id"], "--off", "--json"))["is_favourite"]
    assert json.loads(run("preset_clone", made["id"], "--json"))["name"] == "wider 2"
    assert json.loads(run("preset_delete", made["id"], "--json")) == {"deleted": made["id"]}
    assert "wider 2" in run("preset_list") and "made" in run("preset_clone", Preset.objects.get(name="wider 2").pk)


def test_a_preset_is_made_from_a_job_of_its_kind():
    job = make_training_job(k=7)
    assert "wide" in run("preset_create", "training", "wide", "--job", job.pk)
    assert Preset.objects.get(name="wide").spec["k"] == 7
    for words in (["labeling", "x", "--job", job.pk], ["training", "x"], ["training", "x", "--spec", "{"]):
        with pytest.raises(CommandError):
            run("preset_create", *words)


def test_presets_go_into_a_file_and_come_back(tmp_path):
    first, second = make_preset("first"), make_preset("second")
    file = tmp_path / "presets.json"
    assert "2 written" in run("preset_export", first.pk, second.pk, "--output", file)
    assert "second 2" in run("preset_import", file)
    with pytest.raises(CommandError, match="already"):
        run("preset_import", file, "--on-clash", "refuse")
    assert [each["name"] for each in json.loads(run("preset_import", file, "--json"))] == ["first 3", "second 3"]
    assert json.loads(run("preset_export", first.pk))["spec"] == WIDE
    assert len(json.loads(run("preset_export"))) == Preset.objects.count()
    file.write_text("{")
    with pytest.raises(CommandError, match="no valid JSON"):
        run("preset_import", file)
    with pytest.raises(CommandError, match="cannot be written"):
        run("preset_export", "--output", tmp_path)


@pytest.fixture
def admin_in(client, owner):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    client.force_login(owner)
    return client


def test_the_admin_curates_words_of_ones_own_and_deletes_through_the_service(admin_in):
    preset, shipped = make_preset(), Preset.objects.filter(is_shipped=True).first()
    change = reverse("admin:presets_preset_change", args=[preset.pk])
    assert admin_in.get(change).status_code == 200
    admin_in.post(change, {"name": "narrow", "description": "d", "is_favourite": "on"})
    preset.refresh_from_db()
    assert (preset.name, preset.description, preset.is_favourite, preset.spec) == ("narrow", "d", True, WIDE)
    shown = admin_in.get(reverse("admin:presets_preset_change", args=[shipped.pk])).content.decode()
    assert 'name="_save"' not in shown
    chosen = {"action": "delete_rows", "_selected_action": [preset.pk, shipped.pk]}
    text = admin_in.post(reverse("admin:presets_preset_changelist"), chosen, follow=True).content.decode()
    assert "comes with the studio" in text
    assert not Preset.objects.filter(pk=preset.pk).exists() and Preset.objects.filter(pk=shipped.pk).exists()
