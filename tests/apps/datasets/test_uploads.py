"""Files sent by a browser or the API: what is kept, what is refused, what is swept."""

import os
import time
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.datasets.models import Dataset
from apps.datasets.selectors import dataset_disk_bytes
from apps.datasets.services import dataset_delete, dataset_import
from apps.datasets.uploads import upload_path, upload_store, uploads_sweep
from apps.jobs.models import Job
from workers.engine.specs.datasets import DatasetImportSpec

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
CONTENT = b"Some text.\n\nMore text."


def sent(name: str = "texts.txt", content: bytes = CONTENT) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def kept() -> list[Path]:
    return sorted(data_path("uploads").glob("*"))


def age(path: Path, hours: float) -> None:
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))


def refusal(file: SimpleUploadedFile) -> AppError:
    with pytest.raises(AppError) as caught:
        upload_store(file)
    return caught.value


def test_a_file_is_kept_whole_under_a_name_of_our_own():
    name = upload_store(sent("../../etc/Texts.TXT", CONTENT * 100_000))
    assert upload_path(name).read_bytes() == CONTENT * 100_000
    assert DatasetImportSpec(source="upload", upload=name).upload == name, "the Spec takes such names"
    assert list(data_path("tmp").glob("*")) == []


def test_other_formats_are_refused():
    for name in ("page.html", "text", "a.txt.exe"):
        assert (refusal(sent(name)).code, refusal(sent(name)).status) == ("upload_format", 422)
    assert refusal(sent(content=b"")).code == "upload_empty"
    assert kept() == []


def test_a_file_above_the_limit_is_refused(settings):
    settings.UPLOAD_MAX_BYTES = len(CONTENT)
    upload_store(sent())
    error = refusal(sent(content=CONTENT + b"!"))
    assert (error.code, error.status) == ("upload_too_large", 413) and "at most 22 B" in error.message


def test_a_file_that_the_disk_has_no_room_for_is_refused(monkeypatch):
    monkeypatch.setattr("apps.datasets.uploads.disk_free_bytes", lambda: len(CONTENT) - 1)
    assert (refusal(sent()).code, refusal(sent()).status) == ("disk_full", 507)


def test_uploads_of_yesterday_are_swept_unless_an_import_waits_for_them():
    wanted, unwanted, young = (upload_store(sent()) for _ in range(3))
    dataset_import(spec=DatasetImportSpec(source="upload", upload=wanted))
    age(upload_path(wanted), 25)
    age(upload_path(unwanted), 25)
    age(upload_path(young), 23)
    assert uploads_sweep() == 1
    assert {path.name for path in kept()} == {wanted, young}


def test_the_next_upload_sweeps():
    old = upload_store(sent())
    age(upload_path(old), 25)
    new = upload_store(sent())
    assert [path.name for path in kept()] == [new]


def test_an_upload_that_is_gone_is_refused():
    with pytest.raises(AppError, match="is gone"):
        dataset_import(spec=DatasetImportSpec(source="upload", upload=f"{'0' * 32}.txt"))


def test_the_page_takes_a_file_and_names_the_dataset_after_it(client_in):
    assert 'enctype="multipart/form-data"' in client_in.get(reverse("datasets:new")).text
    answer = client_in.post(reverse("datasets:new"), {"source": "upload", "upload": sent(), "row_cap": "5"})
    dataset = Dataset.objects.get()
    assert answer.url == dataset.get_absolute_url()
    assert (dataset.name, dataset.origin, dataset.source) == ("texts.txt", "upload of texts.txt", "upload")
    assert [path.name for path in kept()] == [dataset.job.spec["upload"]]
    assert dataset.job.spec["row_cap"] == 5


def test_refused_pages_keep_no_file(client_in):
    for values, field in (
        ({"source": "upload"}, "upload"),
        ({"source": "upload", "upload": sent("page.html")}, "upload"),
        ({"source": "upload", "upload": sent(), "row_cap": "0"}, "row_cap"),
        ({"source": "hub", "repo_id": "a/b/c", "upload": sent()}, "repo_id"),
    ):
        answer = client_in.post(reverse("datasets:new"), values)
        assert answer.status_code == 422 and list(answer.context["form"].errors) == [field]
    assert kept() == [] and not Dataset.objects.exists()


def test_the_api_takes_a_file_with_its_options(client_in):
    answer = client_in.post("/api/v1/datasets", {"file": sent("rows.csv"), "text_column": "body", "name": "rows"})
    dataset = Dataset.objects.get()
    assert (answer.status_code, answer.json()["url"]) == (202, dataset.get_absolute_url())
    assert (dataset.name, dataset.job.spec["text_column"]) == ("rows", "body")
    assert upload_path(dataset.job.spec["upload"]).read_bytes() == CONTENT


def test_the_api_refuses_with_a_status_and_keeps_nothing(client_in, settings):
    def refused(**values) -> tuple[int, str]:
        answer = client_in.post("/api/v1/datasets", values)
        return answer.status_code, answer.json()["error"]["code"]

    assert refused(name="x") == (422, "no_file")
    assert refused(file=sent("page.html")) == (422, "upload_format")
    assert refused(file=sent(), rows="5") == (400, "spec_invalid")
    settings.UPLOAD_MAX_BYTES = 3
    assert refused(file=sent()) == (413, "upload_too_large")
    assert kept() == []


def test_deleting_a_dataset_whose_import_failed_frees_its_upload_and_its_download():
    dataset = dataset_import(spec=DatasetImportSpec(source="upload", upload=upload_store(sent())))
    Job.objects.update(state="failed")
    download = data_path("jobs", dataset.job.pk, "download")
    download.mkdir(parents=True)
    (download / "rows.parquet").write_bytes(b"x" * 1000)
    announced = dataset_disk_bytes(dataset)
    assert announced == 1000 + len(CONTENT)
    assert dataset_delete(dataset=dataset) == announced
    assert kept() == [] and not download.exists()
