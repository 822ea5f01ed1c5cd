"""The whole studio on a disk that becomes full, and has room again."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.pipeline.scratch import ScratchStudio
from tests.pipeline.tiny_pipeline import text_file

MOUNTED = "160m"


@pytest.fixture
def studio(tmp_path) -> Iterator[ScratchStudio]:
    """A studio whose data folder is a small disk of its own."""
    folder = tmp_path / "data"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MOUNTED},mode=0700", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small disk can only be mounted by root")
    studio = ScratchStudio(folder)
    try:
        yield studio
    finally:
        studio.kill_all()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(studio: ScratchStudio) -> None:
    """Take all that is left of the disk."""
    with (studio.data_dir / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 2**16)
        except OSError:
            return


def health(studio: ScratchStudio) -> dict:
    with urllib.request.urlopen(f"{studio.url}/health/", timeout=30) as answer:
        return json.load(answer)


def test_a_full_disk_keeps_the_studio_up_and_work_goes_on_once_there_is_room(studio, tmp_path):
    studio.start()
    assert health(studio)["trouble"] == ""
    job = studio.json("dataset_import", "--source", "file", "--path", text_file(tmp_path))["id"]
    studio.wait_for_job(job, "succeeded")
    family = {process.pid for process in studio.family()}
    fill(studio)
    time.sleep(8)  # several heartbeats, samples and looks of the reaper
    assert studio.process.poll() is None, studio.output()
    assert {process.pid for process in studio.family()} >= family, studio.output()
    assert "full" in health(studio)["trouble"]
    assert "Traceback" not in studio.output()
    (studio.data_dir / "filling").unlink()
    assert health(studio)["trouble"] == ""
    again = studio.json("dataset_import", "--source", "file", "--path", text_file(tmp_path))["id"]
    studio.wait_for_job(again, "succeeded")
    studio.end()
