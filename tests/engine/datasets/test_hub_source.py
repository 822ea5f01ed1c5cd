"""Streaming from the Hub, with a local folder in the Hub's layout and the real errors of huggingface_hub."""

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import errors

from workers.engine.datasets import hub_source as hub
from workers.engine.specs.errors import EngineError


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A data set of five rows with an image column whose bytes are no image."""
    (tmp_path / "data").mkdir()
    images = [{"bytes": b"no image", "path": None}] * 5
    metadata = {
        "huggingface": '{"info": {"features": {"text": {"dtype": "string", "_type": "Value"}, '
        '"image": {"_type": "Image"}}}}'
    }
    table = pa.table({"text": list("abcde"), "image": images}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    known = hub.HubRepository(str(tmp_path), "", "mit")
    monkeypatch.setattr(hub, "hub_repository", lambda repo_id: known)
    return tmp_path


def test_rows_are_streamed_up_to_the_cap_and_images_stay_bytes(repository):
    source = hub.hub_source("a/b", "", "train", 3)
    table = pa.concat_tables(source.tables)
    assert table.column("text").to_pylist() == ["a", "b", "c"]
    assert table.column("image").to_pylist()[0]["bytes"] == b"no image"
    assert (source.total_rows, source.licence) == (3, "mit")


def test_unknown_split_and_configuration_list_what_there_is(repository):
    with pytest.raises(EngineError, match=r"Available: \['train'\]") as caught:
        hub.hub_source("a/b", "", "nope", 3)
    assert caught.value.code == "unknown_split"
    with pytest.raises(EngineError, match=r"Available: \['default'\]") as caught:
        hub.hub_source("a/b", "french", "train", 3)
    assert caught.value.code == "unknown_config"


def _answer(status):
    return httpx2.Response(status, request=httpx2.Request("GET", "https://huggingface.co/api"))


@pytest.mark.parametrize(
    ("error", "code", "transient"),
    [
        (errors.GatedRepoError("gated", response=_answer(403)), "gated", False),
        (errors.RepositoryNotFoundError("unknown", response=_answer(401)), "unknown_repository", False),
        (errors.HFValidationError("bad id"), "unknown_repository", False),
        (errors.OfflineModeIsEnabled("offline"), "offline", False),
        (errors.HfHubHTTPError("busy", response=_answer(503)), "hub_refused", True),
        (errors.HfHubHTTPError("no", response=_answer(400)), "hub_refused", False),
        (httpx2.ConnectError("refused"), "transient", True),
        (ConnectionError("reset"), "transient", True),
    ],
)
def test_what_the_hub_raises_becomes_words(monkeypatch, error, code, transient):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(hub.HfApi, "dataset_info", refuse)
    with pytest.raises(EngineError) as caught:
        hub.hub_source("a/b", "", "train", 3)
    assert (caught.value.code, caught.value.transient) == (code, transient)
    assert caught.value.hint
