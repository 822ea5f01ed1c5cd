"""Starting, renaming, retrying and deleting training runs."""

import pytest

from apps.core.errors import AppError, StillReferenced
from apps.core.storage import data_path
from apps.jobs.states import State
from apps.training import services
from apps.training.models import TrainingRun
from tests.apps.training.worlds import (
    cache_make,
    checkpoint_write,
    point,
    run_finish,
    run_make,
    spec_make,
    state_set,
)
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def test_a_run_is_named_after_its_settings_and_hook_site():
    cache = cache_make()
    assert run_make(cache).name == "TopK 64 k=4 · 3.resid_post"
    standard = run_make(cache, architecture="standard", l1_coefficient=2.5)
    assert standard.name == "Standard 64 λ=2.5 · 3.resid_post"
    assert run_make(cache, name=" mine ").name == "mine"


def test_a_started_run_has_a_queued_job_with_its_spec(owner):
    run = services.training_start(spec=spec_make(cache_make()), user=owner)
    assert run.job.state == State.QUEUED and run.job.queue == "gpu"
    assert run.job.spec == run.spec and run.created_by == owner


def test_a_cache_that_is_not_ready_starts_nothing():
    with pytest.raises(AppError) as refused:
        run_make(cache_make(is_ready=False))
    assert (refused.value.code, refused.value.field) == ("cache_not_ready", "activation_cache")
    assert not TrainingRun.objects.exists()


def test_a_batch_larger_than_the_cache_is_refused_before_a_job_exists():
    with pytest.raises(AppError) as refused:
        run_make(batch_size=4096)
    assert refused.value.field == "batch_size"
    assert not TrainingRun.objects.exists()


def test_an_active_run_cannot_be_deleted():
    run = run_make()
    with pytest.raises(AppError) as refused:
        services.training_delete(run=run)
    assert (refused.value.code, refused.value.status) == ("job_active", 409)


def test_a_run_with_saes_cannot_be_deleted_and_they_are_named():
    run = run_make()
    sae = run_finish(run)
    with pytest.raises(StillReferenced) as refused:
        services.training_delete(run=run)
    assert refused.value.status == 409 and sae.name in refused.value.references[0]


def test_deleting_a_run_frees_its_job_folder_and_its_points():
    run = run_make()
    TrainRunner().metrics(run.job, [point(10)])
    checkpoint_write(run.job, 10)
    state_set(run.job, State.FAILED)
    folder = data_path("jobs", run.job.pk)
    assert services.training_delete(run=run) == 2
    assert not folder.exists() and not TrainingRun.objects.exists()


def test_only_failed_and_cancelled_runs_are_retried():
    run = run_make()
    with pytest.raises(AppError):
        services.training_retry(run=run)
    state_set(run.job, State.FAILED)
    again = services.training_retry(run=run)
    assert run.job == again and again.state == State.QUEUED and again.spec == run.spec


def test_the_newest_checkpoint_of_an_unfinished_run_stays():
    run = run_make()
    runner, job = TrainRunner(), run.job
    for step in (10, 20):
        runner.checkpoint(job, checkpoint_write(job, step))
    state_set(job, State.PAUSED)
    newest, older = run.checkpoints.all()
    with pytest.raises(AppError) as refused:
        services.checkpoint_delete(checkpoint=newest)
    assert refused.value.code == "checkpoint_needed"
    assert services.checkpoint_delete(checkpoint=older) == 2
    assert [row.step for row in run.checkpoints.all()] == [20]
