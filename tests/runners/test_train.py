"""The runner of training runs: what it hands to the engine, what lines and results become."""

import json

import pytest

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.jobs.models import Job
from apps.jobs.states import State, Wish
from apps.training.models import MetricPoint
from apps.training.services import training_retry, training_start
from tests.apps.training.worlds import (
    STEPS,
    cache_make,
    checkpoint_write,
    draft_make,
    point,
    result_make,
    run_finish,
    run_make,
    state_set,
    text_spec_make,
    tokenization_more,
)
from tests.engine.training.worlds import D_IN as ENGINE_D_IN
from tests.engine.training.worlds import random_cache
from workers.runners.train import TrainRunner
from workers.supervisor.foreground import supervise_here

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
WHERE = {"job_dir": "job", "out_dir": "out", "device": "cpu"}


def points_of(run):
    return MetricPoint.objects.filter(member__run=run)


def prepare(job: Job):
    return TrainRunner().prepare(job, job.loaded_spec, WHERE)


def test_the_engine_gets_the_cache_and_everything_the_rows_know_of_the_data():
    run = run_make()
    inputs = prepare(run.job)
    assert inputs.cache_dir == str(data_path("activations", run.activation_cache_id))
    assert (inputs.hook_site, inputs.sink_threshold, inputs.device) == ("3.resid_post", 50.0, "cpu")
    known = inputs.provenance
    assert (known["model_name"], known["hf_hook_name"], known["prepend_bos"]) == ("owner/tiny", "model.layers.3", True)
    assert known["dataset"] == {"name": "stories", "content_sha256": "c" * 64}
    assert known["tokenization"]["tokens_sha256"] == "k" * 64
    assert known["language_model"]["weights_sha256"] == "w" * 64
    assert known["activation_cache"]["activations_sha256"] == "a" * 64


def test_provenance_never_names_a_path_of_this_machine():
    known = prepare(run_make().job).provenance
    assert known["dataset_path"] == "stories" and "/home" not in json.dumps(known)


def test_a_cache_that_was_deleted_meanwhile_is_said():
    run = run_make()
    spec = run.job.loaded_spec
    type(run.activation_cache).objects.update(ready_at=None)
    with pytest.raises(AppError, match="not ready"):
        TrainRunner().prepare(run.job, spec, WHERE)
    with pytest.raises(AppError):
        TrainRunner().memory_bytes(spec)


def test_replayed_steps_replace_their_points():
    run, runner = run_make(), TrainRunner()
    runner.metrics(run.job, [point(10), point(20, fvu=0.9), point(30)])
    runner.metrics(run.job, [point(20, fvu=0.1), point(20, fvu=0.2)])
    assert list(points_of(run).values_list("step", flat=True)) == [10, 20, 30]
    assert points_of(run).get(step=20).values["fvu"] == 0.2


def test_the_newest_point_stands_in_the_runs_columns():
    run = run_make()
    TrainRunner().metrics(run.job, [point(10), point(30, l0=3.5, fvu=float("nan"))])
    run.refresh_from_db()
    assert (run.step, run.l0, run.fvu, run.tokens_per_s) == (30, 3.5, None, 1000.0)


def test_a_resumed_run_forgets_points_after_its_checkpoint():
    run, runner = run_make(), TrainRunner()
    runner.metrics(run.job, [point(10), point(20), point(30)])
    runner.checkpoint(run.job, checkpoint_write(run.job, 20))
    prepare(run.job)
    assert list(points_of(run).values_list("step", flat=True)) == [10, 20]


def test_checkpoints_whose_folders_are_gone_lose_their_rows():
    run, runner = run_make(), TrainRunner()
    job = run.job
    runner.checkpoint(job, checkpoint_write(job, 10))
    (data_path("jobs", job.pk) / "checkpoints").rename(data_path("jobs", job.pk) / "elsewhere")
    runner.checkpoint(job, checkpoint_write(job, 20))
    assert [row.step for row in run.checkpoints.all()] == [20]
    assert run.checkpoints.get().path == f"jobs/{job.pk}/checkpoints/step-00000020"


def test_the_retry_of_a_failed_run_takes_over_its_checkpoints():
    run, runner = run_make(), TrainRunner()
    first = run.job
    runner.metrics(first, [point(10), point(20)])
    runner.checkpoint(first, checkpoint_write(first, 10))
    runner.discard(first)
    state_set(first, State.FAILED)
    again = training_retry(run=run)
    prepare(again)
    row = run.checkpoints.get()
    assert row.path == f"jobs/{again.pk}/checkpoints/step-00000010"
    assert (data_path("jobs", again.pk) / "checkpoints/step-00000010/state.json").exists()
    assert list(points_of(run).values_list("step", flat=True)) == [10]


def test_a_cancelled_run_keeps_no_checkpoints_and_its_retry_starts_anew():
    run, runner = run_make(), TrainRunner()
    first = run.job
    runner.metrics(first, [point(10)])
    runner.checkpoint(first, checkpoint_write(first, 10))
    state_set(first, State.STOPPING, wish=Wish.CANCEL)
    runner.discard(first)
    assert not run.checkpoints.exists() and not (data_path("jobs", first.pk) / "checkpoints").exists()
    state_set(first, State.CANCELLED)
    prepare(training_retry(run=run))
    assert not MetricPoint.objects.exists()


def test_a_run_cancelled_while_paused_is_retried_from_the_start_too():
    run, runner = run_make(), TrainRunner()
    first = run.job
    runner.checkpoint(first, checkpoint_write(first, 10))
    state_set(first, State.CANCELLED)
    prepare(training_retry(run=run))
    assert not run.checkpoints.exists()


def test_a_finished_run_becomes_an_sae_and_queues_its_evaluation():
    run = run_make()
    TrainRunner().checkpoint(run.job, checkpoint_write(run.job, 10))
    sae = run_finish(run)
    assert (sae.name, sae.hook_site, sae.architecture, sae.d_in, sae.d_sae) == (
        run.name,
        "3.resid_post",
        "topk",
        16,
        64,
    )
    assert sae.encode["k"] == 4 and sae.weights_sha256 == "f" * 64 and sae.bytes == 77
    assert (data_path("saes", sae.pk) / "cfg.json").exists()
    assert run.is_ready and run.step == STEPS and run.report["saes"][0]["loss"] == 1.0
    assert not run.checkpoints.exists() and not (data_path("jobs", run.job.pk) / "checkpoints").exists()
    evaluation = sae.evaluations.get()
    assert evaluation.tokenization == sae.tokenization
    assert evaluation.job.state == State.QUEUED and evaluation.job.priority > run.job.priority


def test_without_held_out_documents_the_sae_is_kept_and_the_history_says_why_it_has_no_numbers():
    run = run_make(cache_make(heldout_contexts=0))
    sae = run_finish(run)
    assert not sae.evaluations.exists()
    assert "nothing back for evaluation" in run.job.events.filter(level="warning").get().text


def test_a_run_finished_early_counts_the_steps_it_did():
    run = run_make()
    job = run.job
    result = result_make(steps=42, finished_early=True)
    TrainRunner().finish(job, job.loaded_spec, result, str(draft_make(job)))
    run.refresh_from_db()
    assert run.step == 42 and run.steps == STEPS and run.report["finished_early"]


def test_every_sae_of_a_sweep_gets_its_points_and_the_run_shows_the_first():
    run, runner = run_make(sweep_k=(2, 4)), TrainRunner()
    told = [point(step, member, fvu=0.5 - 0.2 * member - step / 100) for step in (10, 20) for member in (0, 1)]
    runner.metrics(run.job, told)
    run.refresh_from_db()
    assert [round(member.fvu, 3) for member in run.members.all()] == [0.3, 0.1]
    assert (run.step, round(run.fvu, 3)) == (20, 0.3)
    assert [member.metric_points.count() for member in run.members.all()] == [2, 2]


def test_a_checkpoint_brings_ce_recovered_of_each_sae():
    run = run_make(sweep_k=(2, 4))
    line = checkpoint_write(run.job, 10) | {"values": {"0": {"ce_recovered": 0.9}, "1": {"fvu": float("nan")}}}
    TrainRunner().checkpoint(run.job, line)
    assert [member.ce_recovered for member in run.members.all()] == [0.9, None]
    assert run.checkpoints.get().values["1"] == {"fvu": None}


def test_a_finished_sweep_becomes_an_sae_and_an_evaluation_for_each_member():
    run = run_make(sweep_k=(2, 4))
    job = run.job
    TrainRunner().finish(job, job.loaded_spec, result_make(members=2), str(draft_make(job, members=2)))
    saes = list(run.saes.order_by("pk"))
    assert [sae.member.index for sae in saes] == [0, 1]
    assert [sae.name for sae in saes] == ["TopK 64 k=2 · 3.resid_post", "TopK 64 k=4 · 3.resid_post"]
    assert all((data_path("saes", sae.pk) / "cfg.json").exists() and sae.evaluations.count() == 1 for sae in saes)


def test_a_run_on_text_hands_over_model_and_texts_and_every_hook_site():
    cache = cache_make()
    more = tokenization_more(cache)
    sites = ("3.resid_post", "2.resid_post")
    run = training_start(spec=text_spec_make(cache, hook_sites=sites, more_tokenizations=(more.pk,)))
    inputs = prepare(run.job)
    assert (inputs.cache_dir, inputs.hook_site, inputs.sink_threshold) == ("", "", None)
    assert inputs.tokenization_dirs == tuple(
        str(data_path("tokenizations", pk)) for pk in (cache.tokenization_id, more.pk)
    )
    assert inputs.model_dir == str(data_path("models", cache.language_model_id))
    assert set(inputs.provenance["hf_hook_names"]) == set(sites) and len(inputs.provenance["more_texts"]) == 1


def test_a_run_on_text_reads_a_cache_that_fits_and_keeps_to_it():
    cache = cache_make()
    run = training_start(spec=text_spec_make(cache, use_cache=True, steps=30))
    assert prepare(run.job).cache_dir == str(data_path("activations", cache.pk))
    run.refresh_from_db()
    assert run.activation_cache == cache
    assert f"Activation cache {cache.pk}" in run.job.events.order_by("-pk").first().text
    events = run.job.events.count()
    assert prepare(run.job).cache_dir, "the next attempt reads the same"
    assert run.job.events.count() == events, "and says it once"


def test_a_run_on_text_that_has_checkpoints_of_its_own_goes_on_without_a_cache():
    cache = cache_make()
    run = training_start(spec=text_spec_make(cache, use_cache=True, steps=30))
    TrainRunner().checkpoint(run.job, checkpoint_write(run.job, 10))
    assert prepare(run.job).cache_dir == ""


@pytest.mark.django_db(transaction=True)
def test_the_real_child_trains_on_a_small_cache_and_leaves_charts_and_an_sae():
    cache = cache_make()
    random_cache(data_path("activations", cache.pk))
    type(cache).objects.update(d_in=ENGINE_D_IN)
    run = run_make(cache, steps=40, batch_size=64, checkpoint_every=20, log_every=5, device="cpu")
    supervise_here(run.job)
    run.refresh_from_db()
    assert run.job.state == State.SUCCEEDED, run.job.error_message
    assert list(points_of(run).values_list("step", flat=True)) == list(range(5, 45, 5))
    assert run.step == 40 and run.fvu == run.report["saes"][0]["fvu"] and run.l0 == pytest.approx(4)
    sae = run.saes.get()
    folder = data_path("saes", sae.pk)
    assert json.loads((folder / "provenance.json").read_text())["inputs"]["dataset"]["name"] == "stories"
    assert sae.encode["sink_threshold"] == 50.0 and not (data_path("jobs", run.job.pk) / "checkpoints").exists()
