"""Reading a feature run's files for the web: one feature at a time, memory-mapped, with NumPy and PyArrow alone.

The layout is DescribedSae's (workers/engine/specs/features.py). Token strings come from vocabulary.parquet, so no
page needs a tokenizer.

Shapes: F latents, S example slots of a feature, W tokens of a window, V vocabulary.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError, safe_open

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.language_models.vocabulary import Vocabulary, vocabulary_read
from workers.engine.specs.features import NAMES, NEAR_GROUP, TOP_GROUP, ZERO_GROUP
from workers.engine.text.spelling import VOCABULARY_NAME, Spelling
from workers.engine.text.tokens import token_texts
from workers.engine.text.words import word_at, words

NONE = -1
"""No token, no neighbour."""


@dataclass(frozen=True)
class Example:
    """A window around a feature's peak. `tokens` are the tokenizer's raw strings; `context` its number in the run."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    peak: int
    peak_value: float
    context: int
    group: int
    spelling: Spelling
    """Of the vocabulary's tokens."""
    repeats: int = 1
    """How often the same window was kept."""

    @property
    def texts(self) -> list[str]:
        """What each token shows."""
        return token_texts(self.tokens, self.spelling)

    def cropped(self, around: int, *, whole_words: bool = False) -> "Example":
        """At most `around` tokens on each side of the peak; more where `whole_words` would otherwise be cut."""
        start, stop = max(0, self.peak - around), min(self.peak + around + 1, len(self.tokens))
        if whole_words:
            found = words(self.tokens, self.spelling)
            start, stop = found[word_at(found, start)].start, found[word_at(found, stop - 1)].stop
        return replace(
            self,
            tokens=self.tokens[start:stop],
            activations=self.activations[start:stop],
            peak=self.peak - start,
        )


def example_kind(group: int) -> str:
    """What a group of examples is: top, interval, silent or near."""
    return {TOP_GROUP: "top", ZERO_GROUP: "silent", NEAR_GROUP: "near"}.get(group, "interval")


@dataclass(frozen=True)
class ExampleGroup:
    """Examples of one kind: the strongest, one interval of the activation range (1…), silent ones, or near misses."""

    group: int
    low: float
    high: float
    """Bounds of the interval's activations; 0 and the maximum for the strongest."""
    examples: tuple[Example, ...]

    @property
    def kind(self) -> str:
        """top, interval, silent or near."""
        return example_kind(self.group)


@dataclass(frozen=True)
class Statistics:
    """What the run measured of one feature; the histogram is linear between 0 and `maximum`, the other logarithmic over
    LOG_DECADES decades up to it."""

    density: float
    mean: float
    maximum: float
    second_moment: float
    """Mean of the squares over all positions."""
    firings: int
    histogram: tuple[int, ...]
    log_histogram: tuple[int, ...]
    consistency: float
    concentration: float
    agreement: float
    score: float

    @property
    def deviation(self) -> float:
        """Standard deviation over the positions on which it fires."""
        return math.sqrt(max(0.0, self.second_moment / self.density - self.mean**2)) if self.density else 0.0


@dataclass(frozen=True)
class TopToken:
    """A token at which the feature fires, with how often and how strongly it does so there."""

    token: str
    text: str
    count: int
    mean: float
    maximum: float


@dataclass(frozen=True)
class Neighbour:
    """Another feature of the SAE. `share` of this feature's firings are the other's too; None where none was counted."""

    index: int
    cosine: float
    share: float | None = None


@dataclass(frozen=True)
class LogitToken:
    """A token and how far the feature's direction moves its logit."""

    token: str
    text: str
    value: float


@dataclass(frozen=True)
class LogitLists:
    """Tokens whose logits the feature raises most and lowers most, and a histogram of all logits from lowest to highest."""

    promoted: tuple[LogitToken, ...]
    suppressed: tuple[LogitToken, ...]
    histogram: tuple[int, ...]
    lowest: float
    highest: float


def vocabulary_open(folder: Path) -> Vocabulary:
    """The vocabulary beside a run's files. AppError when it cannot be read, or is of another version of the studio."""
    path = folder / VOCABULARY_NAME
    try:
        return vocabulary_read(path)
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


SCALARS = ("density", "mean", "maximum", "second_moment", "count", "consistency", "concentration", "agreement", "score")


def statistics_read(run_id: int, index: int) -> Statistics:
    """Statistics of one feature. IndexError-like ids are the caller's fault: index < d_sae."""
    with tensors(run_folder(run_id), "statistics") as file:
        known = {name: _row(file, name, index).item() for name in SCALARS}
        histograms = {name: tuple(_row(file, name, index).tolist()) for name in ("histogram", "log_histogram")}
    return Statistics(firings=known.pop("count"), **known, **histograms)


def _row(file: Any, name: str, index: int) -> np.ndarray:
    return file.get_slice(name)[index : index + 1][0]


def names_read(folder: Path) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Peak words and gloss of all features of a run's folder, in order; AppError when they are missing or broken."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(folder / NAMES))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(folder) from error
    return table["peak_words"], table["gloss"]


def top_tokens_read(run_id: int, index: int) -> tuple[TopToken, ...]:
    """Tokens at which the feature fires most often, most frequent first."""
    folder = run_folder(run_id)
    vocabulary = vocabulary_open(folder)
    with tensors(folder, "tokens") as file:
        columns = [_row(file, name, index).tolist() for name in ("ids", "counts", "means", "maxima")]
    return tuple(
        TopToken(vocabulary.raw([token_id])[0], vocabulary.text(token_id), count, mean, maximum)
        for token_id, count, mean, maximum in zip(*columns)
        if token_id != NONE
    )


def neighbours_read(run_id: int, index: int) -> tuple[tuple[Neighbour, ...], tuple[Neighbour, ...]]:
    """Features with the nearest decoder rows, and those that fire at the same tokens; nearest first."""
    with tensors(run_folder(run_id), "neighbours") as file:
        similar = [_row(file, f"similar_{name}", index).tolist() for name in ("ids", "cosines")]
        coactive = [_row(file, f"coactive_{name}", index).tolist() for name in ("ids", "cosines", "shares")]
    return tuple(tuple(Neighbour(*row) for row in zip(*columns) if row[0] != NONE) for columns in (similar, coactive))


def logits_read(run_id: int, index: int) -> LogitLists:
    """Promoted and suppressed tokens of one feature, strongest first, and how all logits are spread."""
    folder = run_folder(run_id)
    vocabulary = vocabulary_open(folder)
    with tensors(folder, "logits") as file:
        promoted, suppressed = (
            tuple(
                LogitToken(vocabulary.raw([token_id])[0], vocabulary.text(token_id), value)
                for token_id, value in zip(
                    _row(file, f"{kind}_ids", index).tolist(), _row(file, f"{kind}_values", index).tolist()
                )
            )
            for kind in ("promoted", "suppressed")
        )
        histogram = tuple(_row(file, "histogram", index).tolist())
        lowest, highest = (_row(file, name, index).item() for name in ("lowest", "highest"))
    return LogitLists(promoted, suppressed, histogram, lowest, highest)


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
    inside = np.flatnonzero(ids != NONE)
    return Example(
        tokens=tuple(vocabulary.raw(ids[inside].tolist())),
        activations=tuple(values[inside].astype(float).tolist()),
        peak=int(np.searchsorted(inside, peak)),
        peak_value=peak_value,
        context=context,
        group=group,
        spelling=vocabulary.spelling,
    )


def examples_grouped(examples: Sequence[Example], maximum: float) -> list[ExampleGroup]:
    """Examples by group: strongest, near misses, then intervals from strong to weak, then silent ones; equal windows merged."""
    intervals = max((example.group for example in examples), default=0)
    order = [TOP_GROUP, NEAR_GROUP, *range(1, intervals + 1), ZERO_GROUP]
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
