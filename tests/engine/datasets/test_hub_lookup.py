"""Looking a dataset up: what the Hub says before anything is imported."""

import json

import pytest

from tests.hub.datasets import REPO_ID, ROWS, TEXTS, stories_folder
from workers.engine.datasets.hub_lookup import dataset_lookup
from workers.engine.progress import Progress
from workers.engine.specs.datasets import DatasetLookupInputs, DatasetLookupSpec
from workers.engine.specs.errors import EngineError


@pytest.fixture
def stories(hub, tmp_path):
    return hub.add(REPO_ID, stories_folder(tmp_path / "files"), kind="dataset")


def looked_up(repo_id=REPO_ID, **wishes):
    return dataset_lookup(
        DatasetLookupSpec(repo_id=repo_id, **wishes), DatasetLookupInputs(job_dir="", out_dir=""), Progress()
    )


def code_of(**wishes):
    with pytest.raises(EngineError) as caught:
        looked_up(**wishes)
    assert caught.value.hint
    return caught.value.code


def test_configurations_splits_sizes_and_licence_are_told(stories):
    found = looked_up(f"https://huggingface.co/datasets/{REPO_ID}")
    sizes = {path.name: path.stat().st_size for path in (stories.folder / "all").iterdir()}
    assert (found.repo_id, found.revision, found.licence, found.gated) == (REPO_ID, stories.commit, "mit", False)
    assert (found.configs, found.config, found.split) == (("all", "short"), "all", "train")
    train, validation = found.splits
    assert (train.name, train.rows, train.bytes) == (
        "train",
        2 * ROWS,
        sizes["train-0.parquet"] + sizes["train-1.parquet"],
    )
    assert (validation.name, validation.rows) == ("validation", None)
    assert found.bytes == sum(sizes.values())


def test_first_rows_text_column_and_its_size_are_told(stories):
    found = looked_up()
    assert (found.columns, found.column_types) == (("text", "length"), ("string", "int64"))
    assert (found.text_column, found.is_conversation) == ("text", False)
    assert [row["text"] for row in found.first_rows] == [text[:300] for text in TEXTS[:5]]
    assert found.text_bytes_per_row == pytest.approx(sum(len(text) for text in TEXTS[:100]) / 100)


def test_configuration_and_split_are_chosen(stories):
    assert looked_up(config="short").first_rows[0]["text"] == "one"
    found = looked_up(split="validation")
    assert (found.split, len(found.first_rows)) == ("validation", 2)


def test_conversations_are_recognised_and_a_single_configuration_is_not_named(hub, tmp_path):
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}]
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps({"messages": turns, "n": n}) for n in range(9)))
    hub.add("tiny/talks", tmp_path, kind="dataset")
    found = looked_up("tiny/talks")
    assert (found.configs, found.config) == (("default",), "")
    assert (found.text_column, found.is_conversation) == ("messages", True)
    assert found.text_bytes_per_row > len("HelloGood day")
    assert len(found.first_rows) == 5


def test_no_data_file_is_fetched_whole(hub, stories):
    looked_up()
    whole = (stories.folder / "all/train-1.parquet").stat().st_size
    assert hub.bytes_sent("all/train-1.parquet") < whole / 2


def test_a_gated_dataset_is_looked_up_with_its_token_alone(stories, monkeypatch):
    stories.token = "secret"
    assert code_of() == "gated"
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert looked_up().gated


def test_what_is_not_there_is_named(stories, monkeypatch):
    assert code_of(repo_id="no/such") == "unknown_repository"
    assert code_of(revision="v9") == "unknown_revision"
    assert code_of(config="french") == "unknown_config"
    assert code_of(split="test") == "unknown_split"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert code_of() == "offline"


def test_a_dataset_with_a_script_is_refused(hub, tmp_path):
    (tmp_path / "old.py").write_text("print()")
    hub.add("tiny/old", tmp_path, kind="dataset")
    assert code_of(repo_id="tiny/old") == "dataset_script"
