"""/api/v1/datasets: shapes, 202 for work, refusals with codes."""

import pyarrow as pa
import pytest

from apps.datasets.models import Dataset, Tokenization
from tests.apps.prepared import job_about, make_dataset, make_language_model, make_tokenization

pytestmark = pytest.mark.django_db
JSON = "application/json"


def test_a_post_starts_an_import_and_answers_202_with_job_and_result(client_in, tmp_path):
    (tmp_path / "texts.txt").write_text("Some text.")
    body = {"source": "file", "path": str(tmp_path / "texts.txt"), "name": "texts"}
    answer = client_in.post("/api/v1/datasets", body, content_type=JSON)
    dataset = Dataset.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {
        "job": {
            "id": dataset.job.pk,
            "state": "queued",
            "url": dataset.job.get_absolute_url(),
            "topic": f"jobs/{dataset.job.pk}",
        },
        "url": dataset.get_absolute_url(),
    }


def test_unknown_options_are_named(client_in):
    answer = client_in.post("/api/v1/datasets", {"repo_id": "a/b", "rows": 5}, content_type=JSON)
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["field"]) == ("spec_invalid", "rows")


def test_lists_are_paged_and_searched(client_in):
    for name in ("whales", "cats", "more cats"):
        make_dataset(name=name)
    found = client_in.get("/api/v1/datasets?q=cats&page_size=1").json()
    assert (found["total"], found["pages"], [item["name"] for item in found["items"]]) == (2, 2, ["more cats"])


def test_one_dataset_carries_its_job(client_in):
    dataset = make_dataset(is_ready=False)
    job = job_about(dataset)
    shown = client_in.get(f"/api/v1/datasets/{dataset.pk}").json()
    assert shown["ready"] is False and shown["job"]["id"] == job.pk
    assert client_in.get("/api/v1/datasets/999").status_code == 404


def test_samples_are_rows_as_text(client_in):
    dataset = make_dataset(pa.table({"text": [f"row {n}" for n in range(101)], "image": [b"\xff\xd8\xff\0"] * 101}))
    second = client_in.get(f"/api/v1/datasets/{dataset.pk}/samples?page=2").json()
    assert (second["pages"], second["total"], len(second["items"])) == (2, 101, 1)
    item = second["items"][0]
    assert item["row"] == 100
    assert item["cells"]["text"] == {"text": "row 100", "kind": "text", "clipped": False}
    assert item["cells"]["image"]["text"] == "<image, 4 B>"
    assert client_in.get(f"/api/v1/datasets/{dataset.pk}/samples?page=x").json()["error"]["code"] == "bad_number"


def test_a_patch_renames_or_marks_a_row(client_in):
    dataset = make_dataset()
    url = f"/api/v1/datasets/{dataset.pk}"
    assert client_in.patch(url, {"name": "whales"}, content_type=JSON).json()["name"] == "whales"
    marked = client_in.patch(url, {"row": 1, "excluded": True, "tags": "odd"}, content_type=JSON).json()
    assert marked == {"row": 1, "excluded": True, "tags": "odd", "text": "", "note": ""}
    assert client_in.patch(url, {"row": True}, content_type=JSON).json()["error"]["field"] == "row"
    assert client_in.patch(url, {}, content_type=JSON).status_code == 400


def test_tokenize_takes_the_dataset_from_the_address(client_in):
    dataset, language_model = make_dataset(), make_language_model()
    body = {"language_model": language_model.pk, "context_length": 16}
    answer = client_in.post(f"/api/v1/datasets/{dataset.pk}/tokenize", body, content_type=JSON)
    tokenization = Tokenization.objects.get()
    assert (answer.status_code, answer.json()["url"]) == (202, tokenization.get_absolute_url())
    assert (tokenization.dataset, tokenization.context_length) == (dataset, 16)


def test_statistics_hold_the_numbers_of_dataset_and_tokenizations(client_in):
    tokenization = make_tokenization()
    found = client_in.get(f"/api/v1/datasets/{tokenization.dataset_id}/statistics").json()
    assert found["dataset"]["rows"] == 3
    assert found["tokenizations"][0]["report"]["distinct_tokens"] == 6


def test_a_deletion_says_what_stands_in_the_way_or_what_it_freed(client_in):
    tokenization = make_tokenization()
    url = f"/api/v1/datasets/{tokenization.dataset_id}"
    refused = client_in.delete(url)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "still_referenced")
    assert refused.json()["error"]["references"] == [f"tokenization {tokenization.pk} “{tokenization}”"]
    assert client_in.delete(f"/api/v1/datasets/tokenizations/{tokenization.pk}").json()["freed_bytes"] > 0
    assert client_in.delete(url).json()["freed_bytes"] > 0
    assert not Dataset.objects.exists()


def test_a_failed_import_is_downloaded_again(client_in):
    dataset = make_dataset(is_ready=False)
    job_about(dataset, state="failed")
    answer = client_in.post(f"/api/v1/datasets/{dataset.pk}/download")
    assert answer.status_code == 202 and answer.json()["job"]["state"] == "queued"
    assert client_in.post(f"/api/v1/datasets/{make_dataset().pk}/download").status_code == 409
