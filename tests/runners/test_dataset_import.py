"""What becomes of kept rows and uploads when an import ends, is retried or cancelled."""

import pytest

from apps.core.errors import AppError
from apps.datasets.models import Dataset, DatasetLookup
from apps.datasets.services import dataset_import, dataset_lookup
from apps.jobs.models import Job
from apps.jobs.services import job_retry
from apps.jobs.states import State, Wish
from workers.engine.specs.datasets import (
    DatasetImportResult,
    DatasetImportSpec,
    DatasetLookupResult,
    DatasetLookupSpec,
    SplitSize,
)
from workers.runners.dataset_import import DOWNLOAD, DatasetImportRunner
from workers.runners.dataset_lookup import DatasetLookupRunner

UPLOAD = "0" * 32 + ".txt"
WHERE = {"job_dir": "j", "out_dir": "o", "device": "cpu"}


@pytest.fixture
def runner(db, fresh_data_dir):
    return DatasetImportRunner()


def start(**wishes) -> Job:
    return dataset_import(spec=DatasetImportSpec(**wishes)).job


def kept(data_dir, job):
    folder = data_dir / "jobs" / str(job.pk) / DOWNLOAD
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    return folder


def upload(data_dir):
    path = data_dir / "uploads" / UPLOAD
    path.parent.mkdir()
    path.write_text("a text")
    return path


def end(job, state, wish=""):
    Job.objects.filter(pk=job.pk).update(state=state, wish=wish)
    job.refresh_from_db()
    return job


def test_a_retry_takes_over_what_the_failed_import_kept(runner, fresh_data_dir):
    failed = start(repo_id="a/b")
    old = kept(fresh_data_dir, failed)
    again = job_retry(job=end(failed, State.FAILED))
    runner.prepare(again, DatasetImportSpec.from_json(again.spec), WHERE)
    assert not old.exists()
    assert (fresh_data_dir / "jobs" / str(again.pk) / DOWNLOAD / "state.json").exists()


def test_a_failed_import_keeps_what_arrived_a_cancelled_one_does_not(runner, fresh_data_dir):
    job = start(repo_id="a/b")
    folder = kept(fresh_data_dir, job)
    runner.discard(job)
    assert folder.exists()
    runner.discard(end(job, State.STOPPING, Wish.CANCEL))
    assert not folder.exists()


def test_an_upload_is_read_from_its_place_and_stays_until_the_import_ends_well(runner, fresh_data_dir):
    path = upload(fresh_data_dir)
    job = start(source="upload", upload=UPLOAD)
    spec = DatasetImportSpec.from_json(job.spec)
    assert runner.prepare(job, spec, WHERE).path == str(path)
    runner.discard(job)
    assert path.exists()
    (fresh_data_dir / "tmp" / "out").mkdir()
    numbers = DatasetImportResult(
        rows=1, bytes=1, columns=("text",), column_types=("string",), text_column="text", text_bytes=6
    )
    runner.finish(job, spec, numbers, str(fresh_data_dir / "tmp" / "out"))
    assert not path.exists()
    assert Dataset.objects.get().is_ready


def test_cancelling_deletes_the_upload_and_a_lost_one_is_said(runner, fresh_data_dir):
    path = upload(fresh_data_dir)
    job = start(source="upload", upload=UPLOAD)
    runner.discard(end(job, State.STOPPING, Wish.CANCEL))
    assert not path.exists()
    with pytest.raises(AppError, match="gone"):
        runner.prepare(job, DatasetImportSpec.from_json(job.spec), WHERE)


def test_a_lookup_is_kept_in_its_row(db):
    lookup = dataset_lookup(spec=DatasetLookupSpec(repo_id="a/b"))
    result = DatasetLookupResult(
        repo_id="a/b",
        revision="c0ffee",
        licence="mit",
        gated=False,
        configs=("default",),
        config="",
        splits=(SplitSize(name="train", rows=3, bytes=9),),
        split="train",
        bytes=9,
        columns=("text",),
        column_types=("string",),
        text_column="text",
        is_conversation=False,
        first_rows=({"text": "a"},),
        text_bytes_per_row=1.0,
    )
    spec = DatasetLookupSpec.from_json(lookup.job.spec)
    DatasetLookupRunner().finish(lookup.job, spec, result, "")
    found = DatasetLookup.objects.get()
    assert found.is_ready
    assert DatasetLookupResult.from_json(found.report) == result
