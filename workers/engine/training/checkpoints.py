"""Checkpoints of a training run: everything that decides the next step, written so that a crash never leaves half of one.

    <job_dir>/checkpoints/step-00000300/
        state.safetensors   weights, Adam's moments, firing counters, running sums of the metrics
        state.json          step, settings asked for and in effect, last metrics, size of state.safetensors

There is no state of a random generator to keep: initial weights come from the seed, batches from (seed, step).

Writing: into a hidden folder beside, fsync, rename, fsync of the parent; then all but the newest KEEP go.
Reading: the newest whole one; a truncated one is passed over for the one before it.
"""

import errno
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workers.engine.specs.errors import DiskFull

KEEP = 2
TENSORS, STATE = "state.safetensors", "state.json"
UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint as read back."""

    folder: Path
    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def checkpoint_write(root: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> tuple[Path, int]:
    """Write the checkpoint of `step` (steps done) below `root`; returns its folder and size in bytes.

    A whole checkpoint of the same step is left as it is: the same step has the same state. Too little space: DiskFull,
    and the earlier checkpoints stay.
    """
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    final = root / f"step-{step:08d}"
    if _is_whole(final):
        return final, _size(final)
    shutil.rmtree(final, ignore_errors=True)
    _check_space(root, tensors)
    unfinished = root / f"{UNFINISHED}{step:08d}"
    try:
        _write_folder(unfinished, tensors, state | {"step": step})
        unfinished.rename(final)
        _fsync(root)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
            raise _disk_full(root, tensors) from error
        raise
    for old in _folders(root)[:-KEEP]:
        shutil.rmtree(old)
    return final, _size(final)


def checkpoint_latest(root: Path) -> Checkpoint | None:
    """The newest checkpoint below `root` that can be read whole; None when there is none."""
    for folder in reversed(_folders(root)):
        if not _is_whole(folder):
            continue
        try:
            tensors = load_file(folder / TENSORS)
        except (SafetensorError, OSError):
            continue
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return Checkpoint(folder, state["step"], tensors, state)
    return None


def _write_folder(folder: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    folder.mkdir()
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / TENSORS)
    state = state | {"tensors_bytes": (folder / TENSORS).stat().st_size}
    (folder / STATE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    for path in (folder / TENSORS, folder / STATE, folder):
        _fsync(path)


def _is_whole(folder: Path) -> bool:
    """Both files are there and the large one has the size that the small one states."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return (folder / TENSORS).stat().st_size == state["tensors_bytes"]
    except (OSError, json.JSONDecodeError, KeyError, TypeError):
        return False


def _folders(root: Path) -> list[Path]:
    """Checkpoints below `root`, oldest first."""
    return sorted(root.glob("step-*"))


def _sweep(root: Path) -> None:
    """Remove what an earlier attempt left unfinished."""
    for leftover in root.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _needed(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _check_space(root: Path, tensors: dict[str, Tensor]) -> None:
    if shutil.disk_usage(root).free < _needed(tensors) + 2**20:
        raise _disk_full(root, tensors)


def _disk_full(root: Path, tensors: dict[str, Tensor]) -> DiskFull:
    free = shutil.disk_usage(root).free
    return DiskFull(
        f"A checkpoint needs {_needed(tensors) / 2**20:.0f} MB; {free / 2**20:.0f} MB are free.",
        "Free some space, then retry: the run goes on from its last checkpoint.",
    )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
