"""Training runs as JSON."""

import pytest

from apps.jobs.states import State
from apps.training.models import TrainingRun
from tests.apps.training.worlds import cache_make, checkpoint_write, point, run_finish, run_make, state_set
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
JSON = "application/json"


def test_a_posted_run_is_accepted_with_its_job_and_url(client_in):
    body = {"activation_cache": cache_make().pk, "d_sae": 64, "k": 4, "batch_size": 100}
    answer = client_in.post("/api/v1/trainings", body, content_type=JSON)
    run = TrainingRun.objects.get()
    assert answer.status_code == 202
    assert answer.json()["url"] == f"/training/{run.pk}/" and answer.json()["job"]["id"] == run.job.pk


def test_bad_options_are_refused_by_name(client_in):
    body = {"activation_cache": cache_make().pk, "d_sae": 64, "k": 65}
    error = client_in.post("/api/v1/trainings", body, content_type=JSON).json()["error"]
    assert (error["code"], error["field"]) == ("spec_invalid", "k")


def test_the_list_is_paged_and_narrowed(client_in):
    cache = cache_make()
    runs = [run_make(cache) for _ in range(3)]
    state_set(runs[0].job, State.FAILED)
    page = client_in.get("/api/v1/trainings?page_size=2").json()
    assert (page["total"], page["pages"], len(page["items"])) == (3, 2, 2)
    failed = client_in.get("/api/v1/trainings?state=failed").json()["items"]
    assert [(item["id"], item["state"]) for item in failed] == [(runs[0].pk, "failed")]


def test_points_come_after_a_step_and_say_where_they_end(client_in):
    run = run_make()
    TrainRunner().metrics(run.job, [point(10), point(20), point(30)])
    answer = client_in.get(f"/api/v1/trainings/{run.pk}/metrics?after=10").json()
    assert [p["step"] for p in answer["points"]] == [20, 30]
    assert answer["points"][0]["fvu"] == pytest.approx(1 / 3)
    assert (answer["last_step"], answer["has_more"]) == (30, False)
    assert client_in.get(f"/api/v1/trainings/{run.pk}/metrics?after=x").json()["error"]["code"] == "bad_after"


def test_one_run_shows_job_checkpoints_and_saes(client_in):
    run = run_make()
    TrainRunner().checkpoint(run.job, checkpoint_write(run.job, 10))
    one = client_in.get(f"/api/v1/trainings/{run.pk}").json()
    assert one["job"]["state"] == "queued" and one["checkpoints"][0]["step"] == 10 and one["saes"] == []
    assert client_in.get(f"/api/v1/trainings/{run.pk}/checkpoints").json()["items"] == one["checkpoints"]
    sae = run_finish(run)
    assert client_in.get(f"/api/v1/trainings/{run.pk}").json()["saes"][0]["id"] == sae.pk


def test_a_rename_and_a_refused_deletion(client_in):
    run = run_make()
    url = f"/api/v1/trainings/{run.pk}"
    assert client_in.patch(url, {"name": "other"}, content_type=JSON).json()["name"] == "other"
    assert client_in.patch(url, {"name": ""}, content_type=JSON).json()["error"]["field"] == "name"
    sae = run_finish(run)
    refused = client_in.delete(url)
    assert refused.status_code == 409 and sae.name in refused.json()["error"]["references"][0]


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("stop", State.QUEUED, State.CANCELLED),
        ("pause", State.RUNNING, State.STOPPING),
        ("finish", State.RUNNING, State.STOPPING),
        ("checkpoint", State.RUNNING, State.RUNNING),
        ("resume", State.PAUSED, State.QUEUED),
        ("retry", State.FAILED, State.QUEUED),
    ],
)
def test_what_can_be_asked_of_a_run(client_in, action, before, after):
    run = run_make()
    state_set(run.job, before)
    answer = client_in.post(f"/api/v1/trainings/{run.pk}/{action}")
    assert answer.status_code == 202 and answer.json()["state"] == after
    assert run.job.state == after


def test_what_cannot_be_asked_is_said(client_in):
    run = run_make()
    assert client_in.post(f"/api/v1/trainings/{run.pk}/pause").status_code == 409
    assert client_in.post(f"/api/v1/trainings/{run.pk}/dance").json()["error"]["code"] == "no_such_action"
    assert client_in.get("/api/v1/trainings/999").status_code == 404
