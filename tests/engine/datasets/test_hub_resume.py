"""An import in a child process that is killed goes on behind the rows it had kept."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq

from tests.hub.datasets import REPO_ID, imported
from workers.engine.datasets.kept_rows import NAME
from workers.engine.specs.datasets import DatasetImportInputs, DatasetImportSpec

PER_FILE = 12_000


def test_a_killed_import_goes_on_and_has_the_content_of_an_unbroken_one(hub, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    texts = [f"row {number}" for number in range(3 * PER_FILE)]
    for part in range(3):
        table = pa.table({"text": texts[part * PER_FILE : (part + 1) * PER_FILE]})
        pq.write_table(table, folder / f"train-{part}.parquet", row_group_size=2_000)
    stories = hub.add(REPO_ID, folder, kind="dataset")
    unbroken = imported(tmp_path / "unbroken")[0]
    stories.slow("train-2.parquet", seconds_per_kib=0.5)

    child = _child_start(tmp_path)
    state = tmp_path / "job" / NAME / "state.json"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert 0 < json.loads(state.read_text())["rows"] < len(texts)

    stories.faults.clear()
    result, found = imported(tmp_path)
    assert found == texts
    assert result.content_sha256 == unbroken.content_sha256


def _child_start(tmp_path):
    (tmp_path / "child-out").mkdir()
    inputs = DatasetImportInputs(job_dir=str(tmp_path / "job"), out_dir=str(tmp_path / "child-out"))
    spec = DatasetImportSpec(source="hub", repo_id=REPO_ID, row_cap=None)
    job = {"kind": spec.KIND, "spec": spec.to_json(), "inputs": inputs.to_json(), "control": str(tmp_path / "control")}
    (tmp_path / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "workers.child", str(tmp_path / "job.json")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
