import itertools

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import OrmQ

from apps.core.errors import AppError
from apps.core.models import Pulse
from apps.core.storage import data_path
from apps.datasets.models import DatasetLookup
from apps.datasets.services import dataset_lookup
from apps.jobs.models import Job
from apps.jobs.selectors import job_list
from apps.jobs.services import (
    PASSING_KEPT,
    job_cancel,
    job_checkpoint,
    job_enqueue,
    job_finish,
    job_move,
    job_pause,
    job_priority_set,
    job_resume,
    job_retry,
    passing_subjects_delete,
)
from apps.jobs.states import ACTIVE, ENDED, MOVES, State
from apps.training.models import TrainingRun
from tests.supervisor.conftest import make_job
from workers.engine.specs.datasets import DatasetLookupSpec
from workers.engine.specs.training import TrainSpec

pytestmark = pytest.mark.django_db
SPEC = TrainSpec(activation_cache=1)


class FakeSubject:
    ENTITY, pk = TrainingRun.ENTITY, 7

    def __str__(self):
        return "my run"


@pytest.mark.django_db(transaction=True)
def test_a_job_row_exists_before_its_message_and_both_appear_at_commit():
    with transaction.atomic():
        job = job_enqueue(spec=SPEC, subject=FakeSubject())
        assert Job.objects.filter(pk=job.pk, state=State.QUEUED).exists()
        assert OrmQ.objects.count() == 0
    assert OrmQ.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_request_leaves_neither_job_nor_message_nor_pulse():
    with pytest.raises(RuntimeError), transaction.atomic():
        job_enqueue(spec=SPEC, subject=FakeSubject())
        raise RuntimeError
    assert (Job.objects.count(), OrmQ.objects.count(), Pulse.objects.count()) == (0, 0, 0)


def test_a_subject_has_at_most_one_active_job_of_a_kind():
    first = job_enqueue(spec=SPEC, subject=FakeSubject())
    with pytest.raises(AppError) as refused:
        job_enqueue(spec=SPEC, subject=FakeSubject())
    assert refused.value.status == 409
    job_cancel(job=first)
    assert job_enqueue(spec=SPEC, subject=FakeSubject()).pk != first.pk


def test_queueing_publishes_the_job_its_subject_and_the_list(monkeypatch):
    told = []
    monkeypatch.setattr("apps.jobs.services.publish", lambda *topics: told.extend(topics))
    job = job_enqueue(spec=SPEC, subject=FakeSubject())
    assert {f"jobs/{job.pk}", "jobs/all", "trainings/7"} <= set(told)


@pytest.mark.parametrize(("frm", "to"), list(itertools.product(State, State)))
def test_only_the_moves_of_the_table_are_made(frm, to):
    job = make_job()
    Job.objects.filter(pk=job.pk).update(state=frm)
    assert job_move(job, to) == (to in MOVES[frm])


def test_every_state_is_either_active_or_ended():
    assert set(ACTIVE) | set(ENDED) == set(State)
    assert not set(ACTIVE) & set(ENDED)


def test_a_queued_job_is_cancelled_by_its_row_alone():
    job = make_job()
    job_cancel(job=job)
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert job.ended_at is not None


def test_cancelling_an_ended_job_is_refused():
    job = make_job()
    Job.objects.filter(pk=job.pk).update(state=State.SUCCEEDED)
    with pytest.raises(AppError, match="not running"):
        job_cancel(job=job)


@pytest.mark.parametrize(
    ("ask", "state"),
    [
        (ask, state)
        for ask in (job_pause, job_checkpoint, job_finish)
        for state in (State.QUEUED, State.PAUSED, State.INTERRUPTED, State.SUCCEEDED)
    ]
    + [(job_resume, State.QUEUED), (job_resume, State.RUNNING), (job_retry, State.PAUSED)],
)
def test_what_a_job_cannot_do_now_is_refused_with_the_state_it_is_in(ask, state):
    job = make_job()
    Job.objects.filter(pk=job.pk).update(state=state)
    job.refresh_from_db()
    with pytest.raises(AppError, match=f"it is {state}"):
        ask(job=job)


def test_a_place_in_the_queue_is_refused_with_the_state_the_job_is_in():
    job = make_job()
    Job.objects.filter(pk=job.pk).update(state=State.RUNNING)
    with pytest.raises(AppError, match="it is running"):
        job_priority_set(job=job, priority=3)


def test_a_kind_without_checkpoints_cannot_be_paused():
    with pytest.raises(AppError, match="keeps no checkpoints"):
        job_pause(job=make_job("tokenize"))


@pytest.mark.parametrize("kind", ["tokenize", "feature_language"])
def test_a_kind_that_is_of_use_only_whole_cannot_finish_early(kind):
    with pytest.raises(AppError, match="of use only whole"):
        job_finish(job=make_job(kind))


def test_a_paused_job_goes_back_into_the_queue():
    job = make_job()
    Job.objects.filter(pk=job.pk).update(state=State.PAUSED)
    job_resume(job=job)
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_a_failed_job_is_retried_as_a_new_job_with_the_same_spec():
    job = make_job()
    with pytest.raises(AppError):
        job_retry(job=job)
    Job.objects.filter(pk=job.pk).update(state=State.FAILED)
    job.refresh_from_db()
    again = job_retry(job=job)
    assert again.pk != job.pk
    assert again.spec == job.spec
    assert again.state == State.QUEUED


def test_priority_changes_while_queued_only():
    job = make_job()
    job_priority_set(job=job, priority=5)
    job.refresh_from_db()
    assert job.priority == 5
    Job.objects.filter(pk=job.pk).update(state=State.RUNNING)
    with pytest.raises(AppError):
        job_priority_set(job=job, priority=6)


def test_percent_never_says_a_hundred_before_the_end():
    assert Job(state=State.RUNNING, done=1000, total=1000).percent == 99
    assert Job(state=State.RUNNING, done=5, total=None).percent is None
    assert Job(state=State.SUCCEEDED).percent == 100


@pytest.mark.usefixtures("fresh_data_dir")
def test_questions_to_the_hub_go_after_a_day_with_their_jobs_and_folders():
    rows = {name: dataset_lookup(spec=DatasetLookupSpec(repo_id=f"a/{name}")) for name in ("old", "busy", "new")}
    jobs = {name: row.job for name, row in rows.items()}
    for name, job in jobs.items():
        data_path("jobs", job.pk).mkdir(parents=True)
        if name != "busy":
            job_move(job, State.RUNNING)
            job_move(job, State.SUCCEEDED)
    yesterday = timezone.now() - 2 * PASSING_KEPT
    DatasetLookup.objects.filter(repo_id__in=("a/old", "a/busy")).update(created_at=yesterday)
    passing_subjects_delete(DatasetLookup.objects.all())
    assert set(DatasetLookup.objects.values_list("repo_id", flat=True)) == {"a/busy", "a/new"}
    assert not Job.objects.filter(pk=jobs["old"].pk).exists() and not data_path("jobs", jobs["old"].pk).exists()
    assert data_path("jobs", jobs["new"].pk).exists()
    assert list(job_list()) == [jobs["busy"]], "an answered question is no news among the jobs"
    assert jobs["new"] in job_list(kind="dataset_lookup")
