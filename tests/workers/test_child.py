"""What a child says when its engine ends in an error, and whose job its lines name."""

import errno
import io
import json

import pytest
from safetensors import SafetensorError

from workers import child


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Run a job whose engine raises this error; the lines that the child wrote."""

    def run(error: Exception) -> list[dict]:
        def fail(*args):
            raise error

        job = tmp_path / "job.json"
        job.write_text(json.dumps({"job": 7, "attempt": 3, "kind": "train", "spec": {}, "inputs": {}, "control": "x"}))
        monkeypatch.setattr(child, "spec_load", fail)
        monkeypatch.setattr(child, "_on_sigterm", lambda progress: None)
        out = io.StringIO()
        assert child.run(job, out)[0] == 1
        return [json.loads(line) for line in out.getvalue().splitlines()]

    return run


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_no_fault_of_the_studio_and_is_tried_again(said, error):
    [line] = said(error)
    assert (line["code"], line["transient"]) == ("disk_full", True)


def test_any_other_error_is_a_fault(said):
    [line] = said(OSError(errno.EIO, "Input/output error"))
    assert (line["code"], line["transient"]) == ("unexpected", False)


def test_every_line_names_job_and_attempt(said):
    [line] = said(ValueError("x"))
    assert (line["job"], line["attempt"]) == (7, 3)
