"""Importing from a Hub on this machine: happy paths, refusals, and what is kept when an import ends early."""

import json
from collections import namedtuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub.datasets import REPO_ID, ROWS, TEXTS, imported, stories_folder
from workers.engine.datasets import kept_rows, row_parts
from workers.engine.progress import Progress, Stopped
from workers.engine.specs.errors import DiskFull, EngineError, Transient

LAST_FILE = "all/train-1.parquet"


@pytest.fixture
def stories(hub, tmp_path):
    return hub.add(REPO_ID, stories_folder(tmp_path / "files"), kind="dataset")


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(row_parts, "PART_ROWS", 1_000)


def refusal(tmp_path, **wishes):
    with pytest.raises(EngineError) as caught:
        imported(tmp_path, **wishes)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("streaming", [True, False])
def test_all_rows_of_the_default_configuration_arrive_in_order(stories, tmp_path, streaming):
    result, texts = imported(tmp_path, streaming=streaming)
    assert texts == TEXTS
    assert (result.licence, result.revision, result.rows) == ("mit", stories.commit, 2 * ROWS)
    assert not (tmp_path / "job" / kept_rows.NAME).exists()


def test_configuration_split_revision_and_cap_choose_the_rows(stories, tmp_path):
    assert imported(tmp_path, config="short")[1] == ["one"]
    assert imported(tmp_path, split="validation")[1] == ["seen", "never"]
    assert imported(tmp_path, row_cap=7, revision=stories.commit)[1] == TEXTS[:7]


def test_a_stream_reads_no_file_behind_the_rows_that_are_kept(hub, stories, tmp_path):
    imported(tmp_path, row_cap=150)
    whole = (stories.folder / LAST_FILE).stat().st_size
    assert hub.bytes_sent(LAST_FILE) < whole / 2


def test_whole_files_are_downloaded_with_progress_in_bytes(hub, stories, tmp_path):
    progress = Progress()
    imported(tmp_path, progress, streaming=False, row_cap=10)
    sizes = [(stories.folder / f"all/train-{part}.parquet").stat().st_size for part in range(2)]
    lines = [line for line in progress.lines if line.get("phase") == "Downloading"]
    assert (lines[-1]["done"], lines[-1]["total"], lines[-1]["unit"]) == (sum(sizes), sum(sizes), "bytes")
    assert hub.bytes_sent(LAST_FILE) >= sizes[1]


@pytest.mark.parametrize(("share", "takes_ranges"), [(0.9, True), (0.9, False), (1.5, True)])
def test_a_download_that_broke_goes_on_and_never_says_more_than_the_whole(stories, tmp_path, share, takes_ranges):
    content = (stories.folder / LAST_FILE).read_bytes()
    part = tmp_path / "job" / kept_rows.NAME / "files" / f"{LAST_FILE}.part"
    stories.cut(LAST_FILE, after=1, times=float("inf"))
    with pytest.raises(EngineError):
        imported(tmp_path, streaming=False)
    stories.faults.clear()
    part.write_bytes((content + content)[: int(len(content) * share)])
    stories.takes_ranges = takes_ranges
    progress = Progress()
    assert imported(tmp_path, progress, streaming=False)[1] == TEXTS
    shares = [line["done"] / line["total"] for line in progress.lines if line.get("phase") == "Downloading"]
    assert max(shares) == shares[-1] == 1
    assert not list(tmp_path.rglob("*.part"))


def test_images_stay_bytes(hub, tmp_path):
    images = [{"bytes": b"no image", "path": None}] * 5
    info = '{"info": {"features": {"text": {"dtype": "string", "_type": "Value"}, "image": {"_type": "Image"}}}}'
    (tmp_path / "files").mkdir()
    table = pa.table({"text": list("abcde"), "image": images}).replace_schema_metadata({"huggingface": info})
    pq.write_table(table, tmp_path / "files/train.parquet")
    hub.add(REPO_ID, tmp_path / "files", kind="dataset")
    imported(tmp_path)
    found = pq.read_table(tmp_path / "out/rows/part-00000.parquet").column("image").to_pylist()
    assert found[0]["bytes"] == b"no image"


def _one_file(hub, tmp_path, name, content):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / name).write_bytes(content)
    hub.add(REPO_ID, tmp_path / "files", kind="dataset")


def test_a_column_that_changes_its_type_on_the_hub_keeps_its_meaning_too(hub, tmp_path):
    said = ["hi"] * 150 + [[{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "end"]
    rows = [
        {"messages": [{"role": "user", "content": words}], "n": n if n < 120 else "many"}
        for n, words in enumerate(said)
    ]
    _one_file(hub, tmp_path, "train.jsonl", "\n".join(map(json.dumps, rows)).encode())
    progress = Progress()
    result, texts = imported(tmp_path, progress)
    assert result.is_conversation
    assert texts == ["<|user|>\nhi\n"] * 150 + ["<|user|>\none\ntwo\n", "<|user|>\nend\n"]
    warnings = " ".join(line["text"] for line in progress.lines if line["t"] == "event")
    assert "'messages'" in warnings and "row 150," in warnings and "row 120," in warnings


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.jsonl", b'{"text": "a"}\n{"text": '),
        ("train.jsonl", b'{"text": "a", "x": ' + b"[" * 100_000),
        ("train.csv", b'id,text\n1,"a\n2,b\n'),
        ("train.csv", b"id,text\n1,caf\xe9\n"),
        ("train.parquet", b"PAR1xxxxPAR1"),
    ],
)
def test_a_file_on_the_hub_that_cannot_be_read_is_told_in_words(hub, tmp_path, name, content):
    _one_file(hub, tmp_path, name, content)
    assert "cannot be read" in refusal(tmp_path).message


@pytest.mark.parametrize("streaming", [True, False])
def test_a_gated_dataset_needs_a_token(hub, stories, tmp_path, monkeypatch, streaming):
    stories.token = "secret"
    assert refusal(tmp_path, streaming=streaming).code == "gated"
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert "accept" in refusal(tmp_path, streaming=streaming).hint.lower()
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert imported(tmp_path, streaming=streaming, row_cap=3)[1] == TEXTS[:3]


def test_what_is_not_there_is_named(stories, tmp_path):
    assert refusal(tmp_path, repo_id="no/such").code == "unknown_repository"
    assert refusal(tmp_path, revision="v9").code == "unknown_revision"
    unknown = refusal(tmp_path, split="test")
    assert (unknown.code, "['train', 'validation']" in unknown.message) == ("unknown_split", True)
    unknown = refusal(tmp_path, config="french")
    assert (unknown.code, "'short'" in unknown.message) == ("unknown_config", True)


def test_a_repository_with_a_script_or_without_data_is_refused(hub, tmp_path):
    for name, file, code in (("script", "script.py", "dataset_script"), ("empty", "a.bin", "no_data_files")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / file).write_text("print()")
        hub.add(f"tiny/{name}", folder, kind="dataset")
        assert refusal(tmp_path, repo_id=f"tiny/{name}").code == code


def test_offline_is_said(stories, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert refusal(tmp_path).code == "offline"


def test_a_busy_hub_is_a_passing_error(stories, tmp_path):
    stories.fail("", status=503)
    assert refusal(tmp_path).transient


@pytest.mark.parametrize("streaming", [True, False])
def test_a_file_that_is_refused_at_first_arrives_by_the_clients_own_patience(stories, tmp_path, streaming):
    stories.fail(LAST_FILE, status=503, times=1)
    stories.cut(LAST_FILE, after=100_000)
    assert imported(tmp_path, streaming=streaming)[1] == TEXTS


def test_an_import_that_broke_in_the_middle_goes_on_there(stories, tmp_path, small_parts):
    whole = imported(tmp_path / "unbroken")[0]

    class Breaks(Progress):
        def wish(self):
            if self._name == "Reading rows" and self._done == 1_000:
                stories.fail(LAST_FILE, status=404, code="EntryNotFound")

    with pytest.raises(EngineError):
        imported(tmp_path, Breaks())
    stories.faults.clear()
    progress = Progress()
    result, texts = imported(tmp_path, progress)
    assert texts == TEXTS
    assert result.content_sha256 == whole.content_sha256
    assert any("are kept" in line.get("text", "") for line in progress.lines)


class StopsAt(Progress):
    """Wishes to end once so many rows are read."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def wish(self):
        return "interrupt" if self._name == "Reading rows" and self._done >= self.rows else None


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("rows", [100, 1_700, 4_200])
def test_an_interrupted_import_doubles_and_loses_no_row(stories, tmp_path, small_parts, rows, streaming):
    with pytest.raises(Stopped):
        imported(tmp_path, StopsAt(rows), streaming=streaming)
    progress = Progress()
    result, texts = imported(tmp_path, progress, streaming=streaming)
    assert texts == TEXTS and result.rows == 2 * ROWS
    first = next(line for line in progress.lines if line.get("phase") == "Reading rows" and line["done"])
    assert first["done"] == rows


def test_rows_that_have_all_arrived_are_not_fetched_again(hub, stories, tmp_path):
    class StopsLater(Progress):
        def wish(self):
            return "interrupt" if self._name == "Checking text" else None

    with pytest.raises(Stopped):
        imported(tmp_path, StopsLater())
    progress = Progress()
    assert imported(tmp_path, progress)[1] == TEXTS
    assert any(f"{2 * ROWS:,} rows of an earlier attempt" in line.get("text", "") for line in progress.lines)


def test_parts_behind_the_noted_state_are_dropped(stories, tmp_path, small_parts):
    with pytest.raises(Stopped):
        imported(tmp_path, StopsAt(2_000))
    rows = tmp_path / "job" / kept_rows.NAME / "rows"
    pq.write_table(pa.table({"text": ["from a later moment"], "length": [1]}), rows / "part-00099.parquet")
    assert imported(tmp_path)[1] == TEXTS


def test_other_wishes_begin_anew(stories, tmp_path, small_parts):
    with pytest.raises(Stopped):
        imported(tmp_path, StopsAt(2_000))
    assert imported(tmp_path, split="validation")[1] == ["seen", "never"]


def test_a_file_with_another_checksum_is_refused_and_removed(stories, tmp_path):
    stories.corrupt(LAST_FILE, times=1)
    assert refusal(tmp_path, streaming=False).code == "bad_checksum"
    assert not (tmp_path / "job" / kept_rows.NAME / "files" / LAST_FILE).exists()
    assert imported(tmp_path, streaming=False)[1] == TEXTS


def test_a_full_disk_keeps_the_complete_parts(stories, tmp_path, monkeypatch, small_parts):
    usage = namedtuple("usage", "total used free")
    asked = []

    def disk_usage(path):
        asked.append(path)
        return usage(10, 10, 0 if len(asked) > 3 else 2**40)

    with monkeypatch.context() as full:
        full.setattr("workers.engine.disk.shutil.disk_usage", disk_usage)
        with pytest.raises(DiskFull):
            imported(tmp_path)
    assert (tmp_path / "job" / kept_rows.NAME / "state.json").exists()
    assert imported(tmp_path)[1] == TEXTS


def test_a_wish_to_cancel_is_heard_while_the_hub_is_silent(stories, tmp_path):
    stories.slow("*.parquet", seconds_per_kib=1.0)

    class Cancels(Progress):
        asked = 0

        def wish(self):
            self.asked += 1
            return "cancel" if self.asked > 6 else None

    with pytest.raises(Stopped):
        imported(tmp_path, Cancels())


def test_a_hub_that_is_gone_is_a_passing_error(stories, tmp_path):
    stories.cut("README.md", after=1, times=float("inf"))
    with pytest.raises(Transient):
        imported(tmp_path)
