"""What the services of datasets do and refuse."""

import os

import pyarrow as pa
import pytest
from django.urls import reverse

from apps.core.errors import AppError, StillReferenced
from apps.core.models import Pulse
from apps.core.storage import data_path, folder_bytes
from apps.datasets.models import Dataset, RowMark, Tokenization
from apps.datasets.services import dataset_delete, dataset_import, dataset_import_again, dataset_rename, row_mark
from apps.datasets.tokenization_services import tokenization_create, tokenization_delete
from apps.jobs.models import Job
from apps.jobs.states import State
from tests.apps.prepared import job_about, make_cache, make_dataset, make_language_model, make_tokenization
from workers.engine.specs.datasets import DatasetImportSpec
from workers.engine.specs.hub_ids import BadRepository
from workers.engine.specs.tokenization import TokenizeSpec

pytestmark = pytest.mark.django_db


def refusal(call, **values) -> AppError:
    with pytest.raises(AppError) as caught:
        call(**values)
    return caught.value


def test_an_import_makes_a_row_and_its_job(tmp_path):
    (tmp_path / "texts.txt").write_text("Some text.")
    dataset = dataset_import(spec=DatasetImportSpec(source="file", path=str(tmp_path / "texts.txt")))
    assert (dataset.name, dataset.is_ready) == ("texts.txt", False)
    assert (dataset.job.state, dataset.job.kind) == (State.QUEUED, "dataset_import")


def test_the_same_source_twice_gets_another_name(tmp_path):
    (tmp_path / "texts.txt").write_text("Some text.")
    spec = DatasetImportSpec(source="file", path=str(tmp_path / "texts.txt"))
    assert [dataset_import(spec=spec).name for _ in range(3)] == ["texts.txt", "texts.txt 2", "texts.txt 3"]


@pytest.mark.parametrize(
    ("given", "repo_id"),
    [
        ("roneneldan/TinyStories", "roneneldan/TinyStories"),
        ("https://huggingface.co/datasets/roneneldan/TinyStories", "roneneldan/TinyStories"),
        ("huggingface.co/datasets/roneneldan/TinyStories/tree/main/data?x=1", "roneneldan/TinyStories"),
        ("https://huggingface.co/datasets/imdb/viewer/plain_text", "imdb"),
    ],
)
def test_a_pasted_address_becomes_a_repository_id(given, repo_id):
    dataset = dataset_import(spec=DatasetImportSpec(repo_id=given))
    assert dataset.job.spec["repo_id"] == repo_id
    assert dataset.name == repo_id.rsplit("/")[-1]


@pytest.mark.parametrize("given", ["../../etc", "a/b/c", "a b", "https://example.org/datasets/a/b"])
def test_what_is_no_repository_is_refused(given):
    with pytest.raises(BadRepository):
        dataset_import(spec=DatasetImportSpec(repo_id=given))
    assert not Dataset.objects.exists()


def test_a_path_must_exist_and_be_of_a_known_format(tmp_path):
    (tmp_path / "page.html").write_text("<p>")
    for path, code in (("nowhere.txt", "path_missing"), ("page.html", "path_format"), ("a\0.txt", "path_invalid")):
        error = refusal(dataset_import, spec=DatasetImportSpec(source="file", path=f"{tmp_path}/{path}"))
        assert (error.code, error.field) == (code, "path")


def test_a_pipe_or_device_is_refused_as_a_path(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (tmp_path / "pipe.txt", "/dev/zero"):
        assert refusal(dataset_import, spec=DatasetImportSpec(source="file", path=str(path))).code == "path_no_file"


def test_a_relative_path_is_stored_as_an_absolute_one(tmp_path, monkeypatch):
    (tmp_path / "texts.txt").write_text("Some text.")
    monkeypatch.chdir(tmp_path)
    dataset = dataset_import(spec=DatasetImportSpec(source="file", path="texts.txt"))
    assert dataset.job.spec["path"] == str(tmp_path.resolve() / "texts.txt")


def test_an_import_that_failed_is_tried_again_and_a_ready_one_is_not():
    dataset = make_dataset(is_ready=False)
    failed = job_about(dataset, state=State.FAILED)
    again = dataset_import_again(dataset=dataset)
    assert again.pk != failed.pk and again.state == State.QUEUED
    assert dataset_import_again(dataset=dataset).pk == again.pk
    assert refusal(dataset_import_again, dataset=make_dataset()).code == "already_ready"


def test_a_name_is_changed_and_published():
    dataset = dataset_rename(dataset=make_dataset(), name="  Moby  ")
    assert Dataset.objects.get().name == "Moby"
    assert Pulse.objects.filter(topic=dataset.topic).exists()
    assert refusal(dataset_rename, dataset=dataset, name=" ").code == "name_invalid"


def test_deletion_frees_the_folder_and_says_how_many_bytes():
    dataset = make_dataset()
    row_mark(dataset=dataset, row=0, excluded=True)
    folder = data_path("datasets", dataset.pk)
    held = folder_bytes(folder)
    assert held > 0 and dataset_delete(dataset=dataset) == held
    assert not folder.exists() and not Dataset.objects.exists() and not RowMark.objects.exists()


def test_what_is_announced_is_what_is_freed_and_what_the_disk_wins(client_in, fresh_data_dir):
    dataset = make_dataset(pa.table({"text": ["Some text."] * 1000}))
    announced = client_in.get(reverse("datasets:delete", args=[dataset.pk])).context["row"].bytes
    held = folder_bytes(fresh_data_dir)
    freed = dataset_delete(dataset=dataset)
    assert announced == freed == held - folder_bytes(fresh_data_dir) > 0


def test_a_tokenized_dataset_is_not_deleted_and_names_what_stands_on_it():
    tokenization = make_tokenization()
    error = refusal(dataset_delete, dataset=tokenization.dataset)
    assert isinstance(error, StillReferenced) and error.status == 409
    assert error.references == (f"tokenization {tokenization.pk} “{tokenization}”",)
    assert data_path("datasets", tokenization.dataset_id).exists()


def test_nothing_is_deleted_while_a_job_works_on_it():
    dataset = make_dataset()
    job_about(dataset, state=State.RUNNING)
    assert refusal(dataset_delete, dataset=dataset).code == "job_active"


def test_a_tokenization_under_a_cache_is_not_deleted():
    cache = make_cache()
    assert isinstance(refusal(tokenization_delete, tokenization=cache.tokenization), StillReferenced)
    assert tokenization_delete(tokenization=make_tokenization(cache.tokenization.dataset)) > 0


def test_a_mark_keeps_what_is_not_named_and_goes_when_nothing_is_left():
    dataset = make_dataset()
    row_mark(dataset=dataset, row=1, excluded=True, tags=" odd ,,long, odd")
    mark = row_mark(dataset=dataset, row=1, text="Better\0 text.")
    assert (mark.excluded, mark.tags, mark.text) == (True, "odd, long", "Better text.")
    assert row_mark(dataset=dataset, row=1, excluded=False, tags="", text="") is None
    assert not RowMark.objects.exists()


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_that_is_not_there_cannot_be_marked(row):
    assert refusal(row_mark, dataset=make_dataset(), row=row, excluded=True).code == "no_such_row"


def test_a_tokenization_needs_ready_things_of_fitting_length():
    dataset, language_model = make_dataset(), make_language_model()
    unready, unready_model = make_dataset(is_ready=False), make_language_model(is_ready=False)
    without_tokenizer = make_language_model(tokenizer_sha256="")
    for values, code, field in (
        ({"dataset": unready.pk, "language_model": language_model.pk}, "not_ready", "dataset"),
        ({"dataset": dataset.pk, "language_model": unready_model.pk}, "not_ready", "language_model"),
        ({"dataset": dataset.pk, "language_model": without_tokenizer.pk}, "no_tokenizer", "language_model"),
        (
            {"dataset": dataset.pk, "language_model": language_model.pk, "context_length": 129},
            "context_too_long",
            "context_length",
        ),
        ({"dataset": 10**6, "language_model": language_model.pk}, "not_found", ""),
    ):
        error = refusal(tokenization_create, spec=TokenizeSpec(**values))
        assert (error.code, error.field) == (code, field)
    assert (Tokenization.objects.count(), Job.objects.count()) == (0, 0)
    spec = TokenizeSpec(dataset=dataset.pk, language_model=language_model.pk)
    assert tokenization_create(spec=spec).job.kind == "tokenize"
