"""Keeps every firing of every latent on disk, so that statistics and examples can be exact in bounded memory.

Reading appends firings in the order of the text. They are kept twice: as (latent, position, value) triplets spread over
files by ranges of latents, so that all firings of a latent can be had at once (histograms up to the true maximum, quantile
groups and random picks need no estimate), and as plain lists of latents position by position, which tell what fires
together. A firing takes 16 bytes: 1 M tokens at L0 = 32 take 512 MB.

Files only grow, so their sizes are a point to which a killed run can be cut back (`sizes`, `cut_back`).

A position is flat: context × T + place in the context. Shapes: P included positions, N firings, F latents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from workers.engine.disk import disk_require

FIRING = np.dtype([("latent", "<i4"), ("position", "<i4"), ("value", "<f4")])
FILES = 64
"""Files that the latents are spread over."""
READ_FIRINGS = 20_000_000
"""Firings held at once when latents are read (240 MB), unless one latent alone has more."""
POSITIONS, COUNTS, LATENTS = "positions.i4", "counts.i4", "latents.i4"


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

    @property
    def owners(self) -> np.ndarray:
        """(N,): of each firing its latent, counted from `start`."""
        return np.repeat(np.arange(self.stop - self.start), np.diff(self.bounds))


def strongest_first(values_N: np.ndarray, at_least: int) -> np.ndarray:
    """Places of the `at_least` largest values and of all that equal the last of them, strongest first; equal ones in their
    order. Only those are sorted, which for a frequent latent saves most of the work."""
    if at_least >= len(values_N):
        return np.argsort(-values_N, kind="stable")
    least = np.partition(values_N, -at_least)[-at_least]
    places = np.flatnonzero(values_N >= least)
    return places[np.argsort(-values_N[places], kind="stable")]


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
        self._append(POSITIONS, positions_P.astype("<i4"))
        self._append(COUNTS, np.bincount(place_N, minlength=len(positions_P)).astype("<i4"))
        self._append(LATENTS, latents_N.astype("<i4"))
        order = np.argsort(latents_N, kind="stable")
        records = np.empty(len(latents_N), FIRING)
        records["latent"], records["value"] = latents_N[order], values_N[order]
        records["position"] = positions_P[place_N[order]]
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
            for first, last in self._ranges(start, stop):
                yield _read(self._folder / _by_latent(start), first, last)

    def latents_at(self, positions_N: np.ndarray) -> np.ndarray:
        """All latents that fire at these included positions, one list after another; a latent once for each position."""
        rows = np.searchsorted(self.positions_P, positions_N.astype(self.positions_P.dtype))  # else all would be cast
        begins, lengths = self._offsets[rows], self._lengths_P[rows]
        within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
        return self._latents_N[np.repeat(begins, lengths) + within]

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

    def _ranges(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """[start, stop) cut so that no range has more than READ_FIRINGS, or it is a single latent."""
        first, held = start, 0
        for latent in range(start, stop):
            if latent > first and held + self.counts_F[latent] > READ_FIRINGS:
                yield first, latent
                first, held = latent, 0
            held += self.counts_F[latent]
        yield first, stop


def _by_latent(start: int) -> str:
    return f"latents-{start}.firings"


def _mapped(path: Path, dtype: np.dtype) -> np.ndarray:
    # a plain view: indexing a memmap object costs more than it reads
    return np.asarray(np.memmap(path, dtype, "r")) if path.stat().st_size else np.empty(0, dtype)


def _read(path: Path, first: int, last: int) -> LatentFirings:
    records = _mapped(path, FIRING)
    blocks = [records[begin : begin + READ_FIRINGS] for begin in range(0, len(records), READ_FIRINGS)]
    kept = [block[(block["latent"] >= first) & (block["latent"] < last)] for block in blocks]
    mine = np.concatenate(kept) if kept else np.empty(0, FIRING)
    mine = mine[np.argsort(mine["latent"], kind="stable")]
    bounds = np.searchsorted(mine["latent"], np.arange(first, last + 1))
    return LatentFirings(first, last, mine["position"].astype(np.int64), mine["value"].copy(), bounds)
