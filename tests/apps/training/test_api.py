"""Training runs as JSON."""

import csv
import io

import pytest

from apps.jobs.states import State, Wish
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
    assert client_in.get(f"/api/v1/trainings/{run.pk}/metrics?after=x").json()["error"]["code"] == "bad_number"


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


def test_a_retry_with_changed_options_is_a_new_run_whatever_became_of_the_first(client_in):
    run = run_make(name="first")
    url = f"/api/v1/trainings/{run.pk}/retry"
    answer = client_in.post(url, {"k": 3, "num_steps": 50}, content_type=JSON)
    again = TrainingRun.objects.exclude(pk=run.pk).get()
    assert answer.status_code == 202 and answer.json()["url"] == f"/training/{again.pk}/"
    assert again.spec == {**run.spec, "name": "", "k": 3, "steps": 50} and again.name == "TopK 64 k=3 · 3.resid_post"
    assert run.job.state == State.QUEUED and run.spec["k"] == 4, "the first goes on as it was"
    refused = client_in.post(url, {"k": 65}, content_type=JSON)
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "k")
    assert client_in.post(url, {"kk": 5}, content_type=JSON).json()["error"]["field"] == "kk"
    assert client_in.post(url).json()["error"]["code"] == "not_failed"


def test_a_checkpoint_is_asked_for(client_in):
    run = run_make()
    assert client_in.post(f"/api/v1/trainings/{run.pk}/checkpoints").status_code == 409
    state_set(run.job, State.RUNNING)
    answer = client_in.post(f"/api/v1/trainings/{run.pk}/checkpoints")
    assert answer.status_code == 202 and answer.json()["id"] == run.job.pk and run.job.wish == Wish.CHECKPOINT


def test_each_sae_of_a_sweep_has_its_points(client_in):
    run = run_make(sweep_k=(2, 4))
    TrainRunner().metrics(run.job, [point(10, 0, fvu=0.5), point(10, 1, fvu=0.3)])
    url = f"/api/v1/trainings/{run.pk}/metrics"
    assert [client_in.get(f"{url}?member={index}").json()["points"][0]["fvu"] for index in (0, 1)] == [0.5, 0.3]
    assert client_in.get(url).json()["member"] == 0
    assert client_in.get(f"{url}?member=7").status_code == 404
    assert client_in.get(f"{url}?member=x").json()["error"]["code"] == "bad_number"
    members = client_in.get(f"/api/v1/trainings/{run.pk}").json()["members"]
    assert [(m["index"], m["hook_site"], m["sparsity"], m["fvu"]) for m in members] == [
        (0, "3.resid_post", 2.0, 0.5),
        (1, "3.resid_post", 4.0, 0.3),
    ]


def test_several_runs_are_deleted_and_those_that_stay_are_named(client_in):
    cache = cache_make()
    failed, queued, finished = (run_make(cache) for _ in range(3))
    state_set(failed.job, State.FAILED)
    sae = run_finish(finished)
    body = {"ids": [failed.pk, queued.pk, finished.pk, 999]}
    answer = client_in.post("/api/v1/trainings/delete", body, content_type=JSON).json()
    kept = {row["id"]: row["message"] for row in answer["kept"]}
    assert set(kept) == {queued.pk, finished.pk, 999} and f"Job {queued.job.pk} still works" in kept[queued.pk]
    assert set(TrainingRun.objects.values_list("pk", flat=True)) == {queued.pk, finished.pk}
    assert sae.training_run == finished
    bad = client_in.post("/api/v1/trainings/delete", {"ids": "3"}, content_type=JSON).json()["error"]
    assert (bad["code"], bad["field"]) == ("spec_invalid", "ids")


def test_runs_are_compared_as_json(client_in):
    cache = cache_make()
    first, second = run_make(cache, name="a"), run_make(cache, name="b", k=2)
    TrainingRun.objects.filter(pk=first.pk).update(l0=4.0, fvu=0.2)
    TrainingRun.objects.filter(pk=second.pk).update(l0=2.0, fvu=0.3)
    found = client_in.get(f"/api/v1/trainings/compare?ids={first.pk},{second.pk}").json()
    assert found["differences"] == {"k": [4, 2]}
    assert [(run["id"], run["state"], run["fvu"]) for run in found["runs"]] == [
        (first.pk, "queued", 0.2),
        (second.pk, "queued", 0.3),
    ]
    assert found["words"] == [f"b ({second.pk}) differs from a ({first.pk}) only in k (4 → 2): L0 −50 %, FVU +0.100."]
    assert client_in.get("/api/v1/trainings/compare?ids=x").json()["error"]["code"] == "bad_ids"
    many = ",".join(map(str, range(1, 12)))
    assert client_in.get(f"/api/v1/trainings/compare?ids={many}").json()["error"]["code"] == "too_many_runs"


def test_what_cannot_be_asked_is_said(client_in):
    run = run_make()
    assert client_in.post(f"/api/v1/trainings/{run.pk}/pause").status_code == 409
    assert client_in.post(f"/api/v1/trainings/{run.pk}/dance").json()["error"]["code"] == "no_such_action"
    assert client_in.get("/api/v1/trainings/999").status_code == 404


def test_all_points_are_given_as_a_table(client_in):
    run = run_make(sweep_k=(2, 4))
    told = [point(step, member) for step in (10, 20) for member in (0, 1)]
    told[-1]["values"] |= {"ce_recovered": 0.5, "density_histogram": [0, 3]}
    TrainRunner().metrics(run.job, told)
    answer = client_in.get(f"/api/v1/trainings/{run.pk}/points.csv")
    assert answer["Content-Type"].startswith("text/csv") and f"run-{run.pk}-points.csv" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [(row["member"], row["step"], row["sparsity"]) for row in rows] == [
        ("0", "10", "2.0"),
        ("1", "10", "4.0"),
        ("0", "20", "2.0"),
        ("1", "20", "4.0"),
    ]
    last = rows[-1]
    assert (last["hook_site"], last["ce_recovered"], last["density_histogram"]) == ("3.resid_post", "0.5", "0 3")
    assert (last["loss"], last["tokens"], rows[0]["ce_recovered"]) == ("5.0", "2000", "")
    marked = client_in.get(f"/api/v1/trainings/{run.pk}/points.csv?for=spreadsheet").getvalue()
    assert marked.startswith(b"\xef\xbb\xbfmember")
    alone = client_in.get(f"/api/v1/trainings/{run.pk}/points.csv?member=1").getvalue().decode()
    assert len(alone.splitlines()) == 3
    for asked, status in (("member=x", 400), ("member=7", 404)):
        assert client_in.get(f"/api/v1/trainings/{run.pk}/points.csv?{asked}").status_code == status
    assert f"/api/v1/trainings/{run.pk}/points.csv" in client_in.get(f"/training/{run.pk}/").content.decode()
