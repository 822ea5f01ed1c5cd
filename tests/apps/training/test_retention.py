"""Which checkpoints may go: the dry run says, the deletion does exactly that, by page, JSON and command."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.core.storage import data_path
from apps.jobs.states import State
from apps.training.models import Checkpoint
from apps.training.selectors import checkpoints_beyond
from tests.apps.training.worlds import checkpoint_write, run_make, state_set
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
JSON = "application/json"


@pytest.fixture
def run():
    """A paused run with checkpoints of the steps 10 to 40; those of 10 and 20 are two days old."""
    run = run_make()
    for step in (10, 20, 30, 40):
        TrainRunner().checkpoint(run.job, checkpoint_write(run.job, step))
    Checkpoint.objects.filter(step__lte=20).update(created_at=timezone.now() - timedelta(days=2))
    state_set(run.job, State.PAUSED)
    return run


def steps_left(run) -> list[int]:
    left = [row.step for row in run.checkpoints.all()]
    folders = sorted(path.name for path in (data_path("jobs", run.job.pk) / "checkpoints").iterdir())
    assert folders == [f"step-{step:08d}" for step in sorted(left)], "rows and folders agree"
    return left


def beyond(run, **asked) -> list[int]:
    return [row.step for row in checkpoints_beyond(run, **asked)]


def test_the_newest_stay_and_so_do_those_of_the_last_day(run):
    assert beyond(run, keep=1) == [20, 10]
    assert beyond(run, keep=1, and_recent=True) == [30, 20, 10]
    assert beyond(run, keep=3, and_recent=True) == [10]
    assert beyond(run, keep=9) == []


def test_an_unfinished_run_keeps_its_newest_whatever_is_asked(run):
    assert beyond(run, keep=0, and_recent=True) == [30, 20, 10]


def test_the_page_says_what_would_go_and_deletes_only_when_told(client_in, run):
    url = f"/training/{run.pk}/checkpoints/retention"
    page = client_in.get(url).content.decode()
    assert "What would go" in page and steps_left(run) == [40, 30, 20, 10]
    assert "Nothing would go" in client_in.get(f"{url}?keep=4&recent=1").content.decode()
    assert client_in.post(url, {"keep": "1"}).url == f"/training/{run.pk}/"
    assert steps_left(run) == [40, 30]
    client_in.post(url, {"keep": "1", "recent": "1"})
    assert steps_left(run) == [40]


def test_json_says_what_would_go_and_deletes_by_post(client_in, run):
    url = f"/api/v1/trainings/{run.pk}/checkpoints/retention"
    asked = client_in.get(f"{url}?keep=1&recent=1").json()
    assert [item["step"] for item in asked["items"]] == [30, 20, 10] and asked["bytes"] == 6
    assert "freed_bytes" not in asked and steps_left(run) == [40, 30, 20, 10]
    done = client_in.post(url, {"keep": 1}, content_type=JSON).json()
    assert [item["step"] for item in done["items"]] == [20, 10] and done["freed_bytes"] == 4
    assert steps_left(run) == [40, 30]
    assert client_in.get(f"{url}?keep=few").json()["error"]["field"] == "keep"


def test_the_command_deletes_nothing_without_its_flag(capsys, run):
    call_command("training_retention", str(run.pk), "--recent")
    assert "3 checkpoints, 6 B, would go." in capsys.readouterr().out and len(steps_left(run)) == 4
    call_command("training_retention", str(run.pk), "--keep", "2", "--recent", "--delete", "--json")
    assert json.loads(capsys.readouterr().out)["freed_bytes"] == 4 and steps_left(run) == [40, 30]


def test_one_checkpoint_is_deleted_by_page_json_and_command(client_in, capsys, run):
    _, third, second, first = run.checkpoints.all()
    assert client_in.post(f"/training/{run.pk}/checkpoints/{first.pk}/delete").status_code == 302
    assert client_in.delete(f"/api/v1/trainings/{run.pk}/checkpoints/{second.pk}").json()["freed_bytes"] == 2
    call_command("training_checkpoint_delete", str(run.pk), str(third.pk), "--json")
    assert json.loads(capsys.readouterr().out) == {"deleted": third.pk, "freed_bytes": 2}
    assert steps_left(run) == [40]
    newest = run.checkpoints.get()
    assert client_in.delete(f"/api/v1/trainings/{run.pk}/checkpoints/{newest.pk}").status_code == 409
    assert client_in.delete(f"/api/v1/trainings/{run.pk}/checkpoints/999").status_code == 404
