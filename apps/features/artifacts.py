"""Reading a feature run's files for the web: one feature at a time, memory-mapped, with NumPy and PyArrow alone.

The layout is FeatureRunResult's (workers/engine/specs/features.py). Token strings come from vocabulary.parquet, so no
page needs a tokenizer.

Shapes: F latents, S example slots of a feature, W tokens of a window, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from apps.core.errors import AppError
from apps.core.storage import data_path
from workers.engine.text.tokens import TokenScheme, token_scheme, token_texts

TOP_GROUP = 0
SILENT_GROUP = -1
NO_TOKEN = -1


@dataclass(frozen=True)
class Example:
    """A window around a feature's peak. `tokens` are the tokenizer's raw strings; `context` its number in the run."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    peak: int
    peak_value: float
    context: int
    group: int
    repeats: int = 1
    """How often the same window was kept."""

    def cropped(self, around: int) -> "Example":
        """At most `around` tokens on each side of the peak."""
        start, stop = max(0, self.peak - around), self.peak + around + 1
        return replace(
            self,
            tokens=self.tokens[start:stop],
            activations=self.activations[start:stop],
            peak=self.peak - start,
        )


@dataclass(frozen=True)
class ExampleGroup:
    """Examples of one kind: the strongest (0), one interval of the activation range (1…), or silent ones (-1)."""

    group: int
    low: float
    high: float
    """Bounds of the interval's activations; 0 and the maximum for the strongest."""
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Statistics:
    """What the run measured of one feature; the histogram is linear between 0 and `maximum`."""

    density: float
    mean: float
    maximum: float
    firings: int
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class LogitToken:
    """A token and how far the feature's direction moves its logit."""

    token: str
    text: str
    value: float


@dataclass(frozen=True)
class LogitLists:
    """Tokens whose logits the feature raises most and lowers most."""

    promoted: tuple[LogitToken, ...]
    suppressed: tuple[LogitToken, ...]


class Vocabulary:
    """Raw token strings by id, and how the tokenizer spells blanks and bytes."""

    def __init__(self, path: Path) -> None:
        table = pq.read_table(path, columns=["token_id", "token"])
        ids = table["token_id"].to_numpy()
        self._tokens: pa.ChunkedArray = table["token"]
        self._place = np.full(int(ids.max(initial=0)) + 2, -1, dtype=np.int64)
        self._place[ids] = np.arange(len(ids))
        self.scheme: TokenScheme = token_scheme(self._tokens.to_pylist())

    def raw(self, ids: Sequence[int]) -> list[str]:
        """Raw strings of token ids; an id that the vocabulary lacks shows as its number."""
        places = [int(self._place[i]) if 0 <= i < len(self._place) else -1 for i in ids]
        return [self._tokens[place].as_py() if place >= 0 else f"<{i}>" for i, place in zip(ids, places)]

    def text(self, token_id: int) -> str:
        """What one token stands for, by itself."""
        return token_texts(self.raw([token_id]), self.scheme)[0]


@lru_cache(maxsize=4)
def _vocabulary(path: Path, changed_ns: int) -> Vocabulary:
    return Vocabulary(path)


def vocabulary_open(folder: Path) -> Vocabulary:
    """The vocabulary beside a run's files, kept in memory until the file changes."""
    path = folder / "vocabulary.parquet"
    try:
        return _vocabulary(path, path.stat().st_mtime_ns)
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(folder) from error


@contextmanager
def tensors(folder: Path, name: str) -> Iterator[Any]:
    """One safetensors file of a run, memory-mapped; AppError when it is missing or broken."""
    try:
        with safe_open(folder / f"{name}.safetensors", framework="numpy") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise unreadable(folder) from error


def unreadable(folder: Path) -> AppError:
    """The error of a run whose files are gone or broken."""
    return AppError(
        "examples_unreadable",
        f"The files of feature run {folder.name} cannot be read.",
        "Start another feature run for this SAE.",
        status=410,
    )


def run_folder(run_id: int) -> Path:
    """Where the files of a feature run lie."""
    return data_path("features", run_id)


def statistics_read(run_id: int, index: int) -> Statistics:
    """Statistics of one feature. IndexError-like ids are the caller's fault: index < d_sae."""
    with tensors(run_folder(run_id), "statistics") as file:
        row = {name: file.get_slice(name)[index : index + 1][0] for name in ("density", "mean", "maximum", "count")}
        histogram = file.get_slice("histogram")[index : index + 1][0]
    return Statistics(
        density=float(row["density"]),
        mean=float(row["mean"]),
        maximum=float(row["maximum"]),
        firings=int(row["count"]),
        histogram=tuple(int(n) for n in histogram),
    )


def logits_read(run_id: int, index: int) -> LogitLists:
    """Promoted and suppressed tokens of one feature, strongest first."""
    folder = run_folder(run_id)
    vocabulary = vocabulary_open(folder)
    with tensors(folder, "logits") as file:
        lists = [
            tuple(
                LogitToken(vocabulary.raw([int(i)])[0], vocabulary.text(int(i)), float(v))
                for i, v in zip(
                    file.get_slice(f"{kind}_ids")[index : index + 1][0],
                    file.get_slice(f"{kind}_values")[index : index + 1][0],
                )
            )
            for kind in ("promoted", "suppressed")
        ]
    return LogitLists(*lists)


def examples_read(run_id: int, index: int) -> list[Example]:
    """All examples of one feature, slot by slot; empty slots are left out."""
    folder = run_folder(run_id)
    vocabulary = vocabulary_open(folder)
    with tensors(folder, "examples") as file:
        groups = file.get_tensor("group")
        return _examples(file, vocabulary, index, groups)


def best_examples(run_id: int, indices: Sequence[int]) -> dict[int, Example]:
    """The strongest example of each of several features, for lists; features that have none are missing."""
    folder = run_folder(run_id)
    vocabulary = vocabulary_open(folder)
    with tensors(folder, "examples") as file:
        groups = file.get_tensor("group")[:1]
        found = {index: _examples(file, vocabulary, index, groups) for index in indices}
    return {index: examples[0] for index, examples in found.items() if examples and examples[0].group == TOP_GROUP}


def _examples(file: Any, vocabulary: Vocabulary, index: int, groups: np.ndarray) -> list[Example]:
    """The first len(groups) slots of one feature as Examples."""
    slots = len(groups)
    ids, values, peaks, peak_values, contexts = (
        file.get_slice(name)[index : index + 1, :slots][0]
        for name in ("token_ids", "activations", "peak", "peak_value", "context")
    )
    return [
        _example(vocabulary, ids[s], values[s], int(peaks[s]), float(peak_values[s]), int(contexts[s]), int(groups[s]))
        for s in range(slots)
        if contexts[s] >= 0
    ]


def _example(
    vocabulary: Vocabulary,
    ids: np.ndarray,
    values: np.ndarray,
    peak: int,
    peak_value: float,
    context: int,
    group: int,
) -> Example:
    """One slot without the places beyond its context's edges."""
    inside = np.flatnonzero(ids != NO_TOKEN)
    return Example(
        tokens=tuple(vocabulary.raw(ids[inside].tolist())),
        activations=tuple(values[inside].astype(float).tolist()),
        peak=int(np.searchsorted(inside, peak)),
        peak_value=peak_value,
        context=context,
        group=group,
    )


def examples_grouped(examples: Sequence[Example], maximum: float) -> list[ExampleGroup]:
    """Examples by group: strongest, then intervals from strong to weak, then silent ones; equal windows merged."""
    intervals = max((example.group for example in examples), default=0)
    order = [TOP_GROUP, *range(1, intervals + 1), SILENT_GROUP]
    made = []
    for group in order:
        low, high = 0.0, maximum
        if group > 0:
            low, high = (maximum * (intervals - group + part) / intervals for part in (0, 1))
        own = [example for example in examples if example.group == group]
        if own:
            made.append(ExampleGroup(group, low, high, _merged(own)))
    return made


def _merged(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Windows with the same tokens and peak shown once, with their number."""
    kept: dict[tuple[tuple[str, ...], int], Example] = {}
    for example in examples:
        key = (example.tokens, example.peak)
        first = kept.get(key)
        kept[key] = example if first is None else replace(first, repeats=first.repeats + 1)
    return tuple(kept.values())
