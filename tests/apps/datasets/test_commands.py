"""Commands of datasets: --json, deletion, marks."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.datasets.models import Dataset, RowMark
from tests.apps.prepared import make_dataset, make_tokenization

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_an_import_is_queued_and_printed_as_json(tmp_path):
    (tmp_path / "texts.txt").write_text("Some text.")
    job = json.loads(run("dataset_import", "--source", "file", "--path", str(tmp_path / "texts.txt"), "--json"))
    assert (job["kind"], job["state"]) == ("dataset_import", "queued")
    assert job["result_url"] == Dataset.objects.get().get_absolute_url()


def test_a_bad_path_ends_the_command_with_words():
    with pytest.raises(CommandError, match=r"There is no file or folder /nowhere\.txt"):
        run("dataset_import", "--source", "file", "--path", "/nowhere.txt")


def test_a_bad_repository_ends_the_command_with_words():
    with pytest.raises(CommandError, match="no repository of the Hugging Face Hub"):
        run("dataset_import", "--repo-id", "a/b/c")


def test_lists_are_lines_or_json():
    tokenization = make_tokenization()
    assert [row["name"] for row in json.loads(run("dataset_list", "--json"))] == ["stories"]
    assert "stories" in run("dataset_list") and "whales" not in run("dataset_list", "--query", "whales")
    assert json.loads(run("tokenization_list", "--json"))[0]["id"] == tokenization.pk
    assert "stories" in run("tokenization_list")


def test_a_deletion_prints_the_bytes_freed():
    dataset = make_dataset()
    freed = json.loads(run("dataset_delete", str(dataset.pk), "--json"))
    assert freed["deleted"] == dataset.pk and freed["freed_bytes"] > 0
    with pytest.raises(CommandError, match="There is no dataset"):
        run("dataset_delete", str(dataset.pk))


def test_a_used_dataset_is_not_deleted():
    with pytest.raises(CommandError, match="still used by"):
        run("dataset_delete", str(make_tokenization().dataset_id))


def test_a_row_is_marked():
    dataset = make_dataset()
    mark = json.loads(run("dataset_row_mark", str(dataset.pk), "1", "--exclude", "--tags", "odd", "--json"))
    assert mark == {"row": 1, "excluded": True, "tags": "odd", "text": "", "note": ""}
    run("dataset_row_mark", str(dataset.pk), "1", "--no-exclude")
    assert RowMark.objects.get().excluded is False


def test_rows_are_shown_in_order_or_by_their_words():
    dataset = make_dataset()
    shown = json.loads(run("dataset_show", str(dataset.pk), "--from", "1", "--rows", "1", "--json"))
    assert shown["name"] == "stories"
    assert [(item["row"], item["cells"]["text"]["text"]) for item in shown["items"]] == [(1, "Call me <b>Ishmael</b>.")]
    lines = run("dataset_show", str(dataset.pk), "--query", "dark")
    assert "--- row 2" in lines and "text: It was dark." in lines and "cat sat" not in lines
    with pytest.raises(CommandError, match="not imported yet"):
        run("dataset_show", str(make_dataset(is_ready=False).pk))
