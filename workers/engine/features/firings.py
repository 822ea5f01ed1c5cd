"""Keeps every firing of every latent on disk, so that statistics and examples can be exact in bounded memory.

Pass 1 appends (position, latent, value) triplets in the order of the text; they are spread over files by ranges of
latents. Pass 2 reads range after range and has all firings of a latent at hand: histograms up to the true maximum,
quantile groups and random picks need no estimate. A firing takes 12 bytes: 1 M tokens at L0 = 32 take 384 MB.

A position is flat: context × T + place in the context.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from workers.engine.disk import disk_require

FIRING = np.dtype([("latent", "<i4"), ("position", "<i4"), ("value", "<f4")])
FILES = 64
"""Files that the latents are spread over."""
READ_FIRINGS = 20_000_000
"""Firings held at once in pass 2 (240 MB), unless one latent alone has more."""


@dataclass(frozen=True)
class LatentFirings:
    """All firings of the latents [start, stop), ordered by latent, then position."""

    start: int
    stop: int
    positions: np.ndarray
    values: np.ndarray
    """Float32, above 0."""
    bounds: np.ndarray
    """(stop - start + 1,): firings of latent start + i stand at bounds[i]:bounds[i + 1]."""

    def of(self, latent: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions, ascending, and values of one latent."""
        place = slice(self.bounds[latent - self.start], self.bounds[latent - self.start + 1])
        return self.positions[place], self.values[place]


class Firings:
    """All firings of a run below one folder, which belongs to it alone; `close` deletes the files."""

    def __init__(self, folder: str | Path, d_sae: int) -> None:
        self.d_sae = d_sae
        self.counts = np.zeros(d_sae, np.int64)
        self._latents_per_file = -(-d_sae // FILES)
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        starts = range(0, d_sae, self._latents_per_file)
        self._paths = {start: self._folder / f"latents-{start}.firings" for start in starts}
        self._files: dict[int, BinaryIO] = {start: path.open("wb") for start, path in self._paths.items()}

    def add(self, positions: np.ndarray, latents: np.ndarray, values: np.ndarray) -> None:
        """Append firings; positions must lie behind those of earlier calls, and ascend within a latent. DiskFull."""
        disk_require(self._folder, 4 * FIRING.itemsize * len(latents))
        order = np.argsort(latents, kind="stable")
        records = np.empty(len(latents), FIRING)
        records["latent"], records["position"], records["value"] = latents[order], positions[order], values[order]
        self.counts += np.bincount(latents, minlength=self.d_sae)
        starts = list(self._files)
        bounds = np.searchsorted(records["latent"], [*starts, self.d_sae])
        for start, begin, end in zip(starts, bounds, bounds[1:]):
            self._files[start].write(records[begin:end].data)

    def by_latents(self) -> Iterator[LatentFirings]:
        """Every latent once, in order, in ranges that fit into memory; nothing can be added any more."""
        for file in self._files.values():
            file.close()
        for start, path in self._paths.items():
            stop = min(start + self._latents_per_file, self.d_sae)
            for first, last in self._ranges(start, stop):
                yield _read(path, first, last)

    def close(self) -> None:
        """Delete the files."""
        for start, path in self._paths.items():
            self._files[start].close()
            path.unlink(missing_ok=True)
        self._folder.rmdir()

    def _ranges(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """[start, stop) cut so that no range has more than READ_FIRINGS, or it is a single latent."""
        first, held = start, 0
        for latent in range(start, stop):
            if latent > first and held + self.counts[latent] > READ_FIRINGS:
                yield first, latent
                first, held = latent, 0
            held += self.counts[latent]
        yield first, stop


def _read(path: Path, first: int, last: int) -> LatentFirings:
    records = np.memmap(path, FIRING, "r") if path.stat().st_size else np.empty(0, FIRING)
    blocks = [records[begin : begin + READ_FIRINGS] for begin in range(0, len(records), READ_FIRINGS)]
    kept = [block[(block["latent"] >= first) & (block["latent"] < last)] for block in blocks]
    mine = np.concatenate(kept) if kept else np.empty(0, FIRING)
    mine = mine[np.argsort(mine["latent"], kind="stable")]
    bounds = np.searchsorted(mine["latent"], np.arange(first, last + 1))
    return LatentFirings(first, last, mine["position"].copy(), mine["value"].copy(), bounds)
