"""Keeps every firing of every latent on disk, so that statistics and examples can be exact in bounded memory.

Reading appends firings in the order of the text. They are kept twice: as (latent, row, value) triplets spread over files by
ranges of latents, so that all firings of a latent can be had at once (histograms up to the true maximum, quantile groups and
random picks need no estimate), and as plain lists of latents position by position, which tell what fires together. A firing
takes 16 bytes: 1 M tokens at L0 = 32 take 512 MB.

Files only grow, so their sizes are a point to which a killed run can be cut back (`sizes`, `cut_back`).

A position is flat: context × T + place in the context; a row says which of the included positions it is.

Shapes: P included positions, N firings, F latents.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from workers.engine.disk import disk_require
from workers.engine.features.latent_firings import LatentFirings
from workers.engine.features.ordering import slices, stable_order

FIRING = np.dtype([("latent", "<i4"), ("row", "<i4"), ("value", "<f4")])
FILES = 64
"""Files that the latents are spread over."""
READ_FIRINGS = 20_000_000
"""Firings held at once when latents are read (320 MB), unless one latent alone has more."""
WORKED_FIRINGS, WORKED_LATENTS = 1 << 18, 128
"""Firings and latents worked on at once: small enough for the caches. A latent with more firings is alone."""
POSITIONS, COUNTS, LATENTS = "positions.i4", "counts.i4", "latents.i4"


class Firings:
    """All firings of one SAE below one folder, which belongs to it alone."""

    def __init__(self, folder: str | Path, d_sae: int) -> None:
        self.d_sae = d_sae
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._latents_per_file = -(-d_sae // FILES)
        self._starts = list(range(0, d_sae, self._latents_per_file))
        for name in self._names():
            (self._folder / name).touch()

    def add(self, positions_P: np.ndarray, place_N: np.ndarray, latents_N: np.ndarray, values_N: np.ndarray) -> None:
        """Append what fired at the included positions `positions_P` (ascending, behind those of earlier calls).

        Firing n is that of `latents_N[n]` at positions_P[place_N[n]]; places ascend. Raises DiskFull.
        """
        disk_require(self._folder, 4 * FIRING.itemsize * len(latents_N))
        rows_before = (self._folder / POSITIONS).stat().st_size // 4
        self._append(POSITIONS, positions_P.astype("<i4"))
        self._append(COUNTS, np.bincount(place_N, minlength=len(positions_P)).astype("<i4"))
        self._append(LATENTS, latents_N.astype("<i4"))
        records = np.empty(len(latents_N), FIRING)
        records["latent"], order = stable_order(latents_N)
        records["row"], records["value"] = rows_before + place_N[order], values_N[order]
        bounds = np.searchsorted(records["latent"], [*self._starts, self.d_sae])
        for start, begin, end in zip(self._starts, bounds, bounds[1:]):
            if end > begin:
                self._append(_by_latent(start), records[begin:end])

    def sizes(self) -> dict[str, int]:
        """Bytes of each file now."""
        return {name: (self._folder / name).stat().st_size for name in self._names()}

    def cut_back(self, sizes: dict[str, int]) -> bool:
        """Forget what was added after `sizes` were taken; False when files are gone or shorter, so nothing can be used."""
        now = self.sizes()
        if any(now[name] < size for name, size in sizes.items()):
            return False
        for name, size in sizes.items():
            with (self._folder / name).open("r+b") as file:
                file.truncate(size)
        return True

    def clear(self) -> None:
        """Begin again with nothing."""
        self.cut_back(dict.fromkeys(self._names(), 0))

    # once everything was added

    @cached_property
    def positions_P(self) -> np.ndarray:
        """All included positions, ascending."""
        return _mapped(self._folder / POSITIONS, np.dtype("<i4"))

    @cached_property
    def counts_F(self) -> np.ndarray:
        """(F,) int64: firings of each latent."""
        counts = np.zeros(self.d_sae, np.int64)
        for begin in range(0, len(self._latents_N), READ_FIRINGS):
            counts += np.bincount(self._latents_N[begin : begin + READ_FIRINGS], minlength=self.d_sae)
        return counts

    def by_latents(self) -> Iterator[LatentFirings]:
        """Every latent once, in order, in ranges that fit into memory."""
        for start in self._starts:
            stop = min(start + self._latents_per_file, self.d_sae)
            for first, last in self._ranges(start, stop, READ_FIRINGS, self.d_sae):
                held = self._read(start, first, last)
                for part in self._ranges(first, last, WORKED_FIRINGS, WORKED_LATENTS):
                    yield held.part(*part)

    def latents_at(self, rows_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All latents that fire at these rows of positions, one list after another, and which of the rows each belongs to."""
        of_row_M, place_M = slices(self._offsets[rows_N], self._lengths_P[rows_N])
        return self._latents_N[place_M], of_row_M

    @cached_property
    def _latents_N(self) -> np.ndarray:
        return _mapped(self._folder / LATENTS, np.dtype("<i4"))

    @cached_property
    def _lengths_P(self) -> np.ndarray:
        """How many latents fire at each position."""
        return _mapped(self._folder / COUNTS, np.dtype("<i4"))

    @cached_property
    def _offsets(self) -> np.ndarray:
        """(P,): where the latents of each position begin."""
        return np.cumsum(self._lengths_P, dtype=np.int64) - self._lengths_P

    def _names(self) -> list[str]:
        return [POSITIONS, COUNTS, LATENTS, *map(_by_latent, self._starts)]

    def _append(self, name: str, values: np.ndarray) -> None:
        with (self._folder / name).open("ab") as file:
            file.write(values.data)

    def _ranges(self, start: int, stop: int, firings: int, latents: int) -> Iterator[tuple[int, int]]:
        """[start, stop) cut so that no range has more than so many firings and latents, or it is a single latent."""
        first, held = start, 0
        for latent in range(start, stop):
            if latent > first and (held + self.counts_F[latent] > firings or latent - first == latents):
                yield first, latent
                first, held = latent, 0
            held += self.counts_F[latent]
        yield first, stop

    def _read(self, start: int, first: int, last: int) -> LatentFirings:
        """The latents [first, last) of the file that begins with latent `start`."""
        records = _mapped(self._folder / _by_latent(start), FIRING)
        blocks = [records[begin : begin + READ_FIRINGS] for begin in range(0, len(records), READ_FIRINGS)]
        kept = [block[(block["latent"] >= first) & (block["latent"] < last)] for block in blocks]
        mine = np.concatenate(kept) if kept else np.empty(0, FIRING)
        latents, order = stable_order(mine["latent"].astype(np.int64) - first)
        rows = mine["row"][order].astype(np.int64)
        bounds = np.searchsorted(latents, np.arange(last - first + 1))
        return LatentFirings(first, last, rows, self.positions_P[rows].astype(np.int64), mine["value"][order], bounds)


def _by_latent(start: int) -> str:
    return f"latents-{start}.firings"


def _mapped(path: Path, dtype: np.dtype) -> np.ndarray:
    # a plain view: indexing a memmap object costs more than it reads
    return np.asarray(np.memmap(path, dtype, "r")) if path.stat().st_size else np.empty(0, dtype)
