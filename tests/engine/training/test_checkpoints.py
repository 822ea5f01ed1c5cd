"""Checkpoints: whole or absent, the newest readable one wins, a full disk is an error that can be read."""

import errno
import shutil

import pytest
import torch

from workers.engine.specs.errors import DiskFull
from workers.engine.training import checkpoints
from workers.engine.training.checkpoints import checkpoint_latest, checkpoint_write


def write(root, step, **options):
    files = {
        "sae-00": {"weights": torch.full((1000,), float(step))},
        "sae-01": {"weights": torch.zeros(3)},
        "source": {},
    }
    return checkpoint_write(root, step, files, {"metrics": {"loss": step}}, **options)


def test_what_was_written_is_read(tmp_path):
    folder, size = write(tmp_path / "checkpoints", 300)
    assert folder.name == "step-00000300"
    assert size == sum(path.stat().st_size for path in folder.iterdir())
    found = checkpoint_latest(tmp_path / "checkpoints")
    assert (found.step, found.state["metrics"]) == (300, {"loss": 300})
    assert set(found.files) == {"sae-00", "sae-01", "source"}
    assert torch.equal(found.files["sae-00"]["weights"], torch.full((1000,), 300.0))


def test_without_a_folder_there_is_none(tmp_path):
    assert checkpoint_latest(tmp_path / "checkpoints") is None


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_only_the_newest_are_kept(tmp_path, keep):
    for step in (100, 200, 300, 400):
        write(tmp_path, step, keep=keep)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-00000100",
        "step-00000200",
        "step-00000300",
        "step-00000400",
    ][-keep:]


def test_one_that_was_passed_over_as_damaged_never_pushes_out_a_good_one(tmp_path):
    write(tmp_path, 100)
    folder, _ = write(tmp_path, 300)
    (folder / "sae-00.safetensors").write_bytes(b"short")
    write(tmp_path, 200, keep=1)
    assert checkpoint_latest(tmp_path).step == 200
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000200"]


@pytest.mark.parametrize("file", ["sae-00.safetensors", "sae-01.safetensors", "source.safetensors", "state.json"])
def test_a_truncated_checkpoint_is_passed_over_for_the_one_before(tmp_path, file):
    write(tmp_path, 100)
    folder, _ = write(tmp_path, 200)
    (folder / file).write_bytes((folder / file).read_bytes()[:-10])
    assert checkpoint_latest(tmp_path).step == 100


def test_a_damaged_checkpoint_is_written_anew(tmp_path):
    folder, _ = write(tmp_path, 200)
    (folder / "sae-00.safetensors").write_bytes(b"short")
    write(tmp_path, 200)
    assert checkpoint_latest(tmp_path).step == 200


def test_what_a_crash_left_unfinished_is_never_read_and_is_swept(tmp_path):
    (tmp_path / ".unfinished-00000300").mkdir(parents=True)
    (tmp_path / ".unfinished-00000300" / "sae-00.safetensors").write_bytes(b"half")
    assert checkpoint_latest(tmp_path) is None
    write(tmp_path, 400)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000400"]


def test_too_little_space_is_said_before_anything_is_written(tmp_path, monkeypatch):
    write(tmp_path, 100)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda path: usage._replace(free=2000))
    with pytest.raises(DiskFull, match="needs"):
        write(tmp_path, 200)
    assert checkpoint_latest(tmp_path).step == 100


def test_a_disk_that_fills_up_while_writing_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    write(tmp_path, 100)

    def fill_up(tensors, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", fill_up)
    with pytest.raises(DiskFull) as refusal:
        write(tmp_path, 200)
    assert "Free some space" in refusal.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000100"]
