"""Keeps every firing of every latent on disk, so that statistics and examples can be exact in bounded memory.

Reading appends firings in the order of the text. They are kept twice: as (latent, row, value) triplets spread over files by
ranges of latents, so that all firings of a latent can be had at once (histograms up to the true maximum, quantile groups and
random picks need no estimate), and as plain lists of latents position by position, which tell what fires together. These are
kept in lines of LINE latents, the last one filled up: a line is a cache line, and is copied as a whole. A firing takes 16
bytes or a little more: 1 M tokens at L0 = 32 take 512 MB.

Files only grow, so their sizes are a point to which a killed run can be cut back (`sizes`, `cut_back`).

A position is flat: context × T + place in the context; a row says which of the included positions it is.

Shapes: P included positions, N firings, F latents, M lines.
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
READ_FIRINGS = 4_000_000
"""Firings read at once (160 MB with what is made of them), unless one latent alone has more."""
HELD_FIRINGS = 1 << 18
"""Firings kept until they are written together: opening FILES files takes longer than filling them."""
WORKED_FIRINGS, WORKED_LATENTS = 1 << 18, 128
"""Firings and latents worked on at once: small enough for the caches. A latent with more firings is alone."""
LINE = 16
SPARSE = 4
"""What fires is counted by sorting it where there are so many times more latents, else in a table of all latents."""
POSITIONS, LINES, LATENTS = "positions.i4", "lines.i8", "latents.i4"
"""Of each included position its flat place; its first line and the one behind its last; the lines."""


class Firings:
    """All firings of one SAE below one folder, which belongs to it alone."""

    def __init__(self, folder: str | Path, d_sae: int) -> None:
        self.d_sae = d_sae
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._latents_per_file = -(-d_sae // FILES)
        self._starts = list(range(0, d_sae, self._latents_per_file))
        self._held: list[np.ndarray] = []
        """FIRING records, not yet written."""
        for name in self._names():
            (self._folder / name).touch()

    def add(self, positions_P: np.ndarray, place_N: np.ndarray, latents_N: np.ndarray, values_N: np.ndarray) -> None:
        """Append what fired at the included positions `positions_P` (ascending, behind those of earlier calls).

        Firing n is that of `latents_N[n]` at positions_P[place_N[n]]; places ascend. Raises DiskFull.
        """
        disk_require(self._folder, 4 * FIRING.itemsize * (len(latents_N) + sum(map(len, self._held))))
        rows_before = (self._folder / POSITIONS).stat().st_size // 4
        self._append(POSITIONS, positions_P.astype("<i4"))
        self._append_lists(np.bincount(place_N, minlength=len(positions_P)), latents_N)
        records = np.empty(len(latents_N), FIRING)
        records["latent"], records["row"], records["value"] = latents_N, rows_before + place_N, values_N
        self._held.append(records)
        if sum(map(len, self._held)) >= HELD_FIRINGS:
            self._write_held()

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, everything added so far written."""
        self._write_held()
        return {name: (self._folder / name).stat().st_size for name in self._names()}

    def cut_back(self, sizes: dict[str, int]) -> bool:
        """Forget what was added after `sizes` were taken; False when files are gone or shorter, so nothing can be used."""
        self._held.clear()
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
        return self._mapped(POSITIONS, np.dtype("<i4"))

    @cached_property
    def counts_F(self) -> np.ndarray:
        """(F,) int64: firings of each latent."""
        counts, at_once = np.zeros(self.d_sae, np.int64), WORKED_FIRINGS // LINE + 1
        for begin in range(0, len(self._lines_ML), at_once):
            counts += self._counted(self._lines_ML[begin : begin + at_once])
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
        of_row_M, line_M = self._lines_of(rows_N)
        latents_ML = self._lines_ML[line_M]
        is_latent_ML = latents_ML < self.d_sae
        return latents_ML[is_latent_ML], of_row_M.repeat(is_latent_ML.sum(1))

    def counts_at(self, rows_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which latents fire at these rows of positions, ascending, and at how many of the rows each does."""
        latents_ML = self._lines_ML.take(self._lines_of(rows_N)[1], axis=0)
        if latents_ML.size < self.d_sae // SPARSE:
            latents, counts = np.unique(latents_ML, return_counts=True)
            is_latent = latents < self.d_sae
            return latents[is_latent], counts[is_latent]
        counts_F = self._counted(latents_ML)
        latents = np.flatnonzero(counts_F)
        return latents, counts_F[latents]

    @cached_property
    def _lines_ML(self) -> np.ndarray:
        return self._mapped(LATENTS, np.dtype("<i4")).reshape(-1, LINE)

    @cached_property
    def _line_ends(self) -> np.ndarray:
        """(P, 2): first line of each position, and the one behind its last."""
        return self._mapped(LINES, np.dtype("<i8")).reshape(-1, 2)

    def _lines_of(self, rows_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of all lines at these rows: which row, and which line."""
        first_N, end_N = self._line_ends.take(rows_N, axis=0).T
        return slices(first_N, end_N - first_N)

    def _counted(self, latents_ML: np.ndarray) -> np.ndarray:
        return np.bincount(latents_ML.ravel(), minlength=self.d_sae + 1)[: self.d_sae]

    def _write_held(self) -> None:
        if not self._held:
            return
        records = np.concatenate(self._held)
        self._held.clear()
        latents, order = stable_order(records["latent"])
        records = records[order]
        bounds = np.searchsorted(latents, [*self._starts, self.d_sae])
        for start, begin, end in zip(self._starts, bounds, bounds[1:]):
            if end > begin:
                self._append(_by_latent(start), records[begin:end])

    def _mapped(self, name: str, dtype: np.dtype) -> np.ndarray:
        self._write_held()
        path = self._folder / name
        # a plain view: indexing a memmap object costs more than it reads
        return np.asarray(np.memmap(path, dtype, "r")) if path.stat().st_size else np.empty(0, dtype)

    def _append_lists(self, counts_P: np.ndarray, latents_N: np.ndarray) -> None:
        """The latents of each position, `counts` of them, in lines that are filled up with d_sae."""
        lines_P = -(-counts_P // LINE)
        end_P = lines_P.cumsum()
        filled_up = np.full(end_P[-1] * LINE if len(end_P) else 0, self.d_sae, "<i4")
        filled_up[slices((end_P - lines_P) * LINE, counts_P)[1]] = latents_N
        lines_before = (self._folder / LATENTS).stat().st_size // (4 * LINE)
        self._append(LINES, (lines_before + np.stack([end_P - lines_P, end_P], axis=1)).astype("<i8"))
        self._append(LATENTS, filled_up)

    def _names(self) -> list[str]:
        return [POSITIONS, LINES, LATENTS, *map(_by_latent, self._starts)]

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
        mine = self._mapped(_by_latent(start), FIRING)
        if len(mine) > READ_FIRINGS:
            blocks = [mine[begin : begin + READ_FIRINGS] for begin in range(0, len(mine), READ_FIRINGS)]
            mine = np.concatenate([block[(block["latent"] >= first) & (block["latent"] < last)] for block in blocks])
        latents, order = stable_order(mine["latent"].astype(np.int64) - first)
        rows = mine["row"][order].astype(np.int64)
        bounds = np.searchsorted(latents, np.arange(last - first + 1))
        return LatentFirings(first, last, rows, self.positions_P[rows].astype(np.int64), mine["value"][order], bounds)


def _by_latent(start: int) -> str:
    return f"latents-{start}.firings"
