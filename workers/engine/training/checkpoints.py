"""Checkpoints of a training run: everything that decides the next step, written so that a crash never leaves half of one.

    <job_dir>/checkpoints/step-00000300/
        sae-00.safetensors …  of each SAE: weights, Adam's moments, firing counters, running sums of the metrics
        source.safetensors    what the source of activations needs to go on
        state.json            step, settings asked for and in effect, last metrics, sizes of the other files

There is no state of a random generator to keep: initial weights come from the seed, all later draws from (seed, step).

Writing: into a hidden folder beside, fsync, rename, fsync of the parent; then all but the newest `keep` go.
Reading: the newest whole one; a truncated one is passed over for the one before it.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from workers.engine.disk import is_disk_full
from workers.engine.specs.errors import DiskFull

STATE, SUFFIX = "state.json", ".safetensors"
UNFINISHED = ".unfinished-"
SPARE_BYTES = 2**20
"""Left free beside the tensors, for state.json and the file system's own records."""

Files = dict[str, dict[str, Tensor]]
"""Tensors of each file, by its name without suffix, then by their own."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint as read back."""

    folder: Path
    step: int
    files: Files
    state: dict[str, Any]


def checkpoint_write(root: Path, step: int, files: Files, state: dict[str, Any], *, keep: int = 2) -> tuple[Path, int]:
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
    _check_space(root, files)
    unfinished = root / f"{UNFINISHED}{step:08d}"
    try:
        _write_folder(unfinished, files, state | {"step": step})
        unfinished.rename(final)
        _fsync(root)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if is_disk_full(error):
            raise _disk_full(root, files) from error
        raise
    _prune(root, final, keep)
    return final, _size(final)


def checkpoint_latest(root: Path) -> Checkpoint | None:
    """The newest checkpoint below `root` that can be read whole; None when there is none."""
    for folder in reversed(_folders(root)):
        if not _is_whole(folder):
            continue
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        try:
            files = {name: load_file(folder / f"{name}{SUFFIX}") for name in state["bytes"]}
        except (SafetensorError, OSError):
            continue
        return Checkpoint(folder, state["step"], files, state)
    return None


def _write_folder(folder: Path, files: Files, state: dict[str, Any]) -> None:
    folder.mkdir()
    sizes = {}
    for name, tensors in files.items():
        path = folder / f"{name}{SUFFIX}"
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, path)
        sizes[name] = path.stat().st_size
        _fsync(path)
    (folder / STATE).write_text(json.dumps(state | {"bytes": sizes}, indent=2) + "\n", encoding="utf-8")
    _fsync(folder / STATE)
    _fsync(folder)


def _is_whole(folder: Path) -> bool:
    """All files are there, and the large ones have the sizes that the small one states."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return all((folder / f"{name}{SUFFIX}").stat().st_size == size for name, size in state["bytes"].items())
    except (OSError, json.JSONDecodeError, KeyError, AttributeError, TypeError):
        return False


def _folders(root: Path) -> list[Path]:
    """Checkpoints below `root`, oldest first."""
    return sorted(root.glob("step-*"))


def _prune(root: Path, newest: Path, keep: int) -> None:
    """Leave `keep` checkpoints, `newest` last. Later ones were passed over as damaged when the run went on."""
    folders = _folders(root)
    place = folders.index(newest) + 1
    for folder in folders[: max(0, place - keep)] + folders[place:]:
        shutil.rmtree(folder)


def _sweep(root: Path) -> None:
    """Remove what an earlier attempt left unfinished."""
    for leftover in root.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _needed(files: Files) -> int:
    return sum(tensor.nbytes for tensors in files.values() for tensor in tensors.values())


def _check_space(root: Path, files: Files) -> None:
    if shutil.disk_usage(root).free < _needed(files) + SPARE_BYTES:
        raise _disk_full(root, files)


def _disk_full(root: Path, files: Files) -> DiskFull:
    free = shutil.disk_usage(root).free
    return DiskFull(
        f"A checkpoint needs {_needed(files) / 2**20:.0f} MB; {free / 2**20:.0f} MB are free.",
        "Free some space, then retry: the run goes on from its last checkpoint.",
    )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
