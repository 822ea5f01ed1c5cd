"""Second half of a feature run: from the firings of one SAE to the files that DescribedSae names.

Range after range of latents, all of a latent's firings at hand: statistics.py, top_tokens.py, examples.py, neighbours.py,
scoring.py, naming.py, each for all latents of the range at once. What a latent is given does not depend on the others of
its range. No dense (tokens, F) array is ever made.

Shapes: F latents, R latents of a range, S example slots, W window, L listed tokens, X neighbours.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from workers.engine.datasets.contexts import Contexts
from workers.engine.disk import disk_require
from workers.engine.features.examples import EMPTY, ExampleChooser, slot_groups, zero_pool
from workers.engine.features.firings import Firings
from workers.engine.features.latent_firings import LatentFirings
from workers.engine.features.naming import Measured, Namer, Names
from workers.engine.features.near_misses import NearMisses
from workers.engine.features.neighbours import Coactivation, similar_rows
from workers.engine.features.reading import SaeFirings
from workers.engine.features.scoring import Scorer
from workers.engine.features.statistics import latent_statistics
from workers.engine.features.top_tokens import top_tokens
from workers.engine.features.windows import OUTSIDE, WindowCutter
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError
from workers.engine.specs.features import HISTOGRAM_BINS, LOG_BINS, NAMES, TOP_GROUP, FeatureRunSpec
from workers.engine.tensor_file import tensor_file_create
from workers.engine.text.tokens import TokenPiece

LARGEST_HALF = 60_000.0
"""Activations up to here are stored as float16, larger ones as float32."""
SCORES = ("consistency", "concentration", "agreement", "score")
NAMES_SCHEMA = pa.schema(
    {"peak_words": pa.list_(pa.struct({"word": pa.string(), "share": pa.float32()})), "gloss": pa.string()}
)
Maps = dict[str, np.ndarray]


@dataclass(frozen=True)
class Files:
    """Writable memory maps of the result files."""

    statistics: Maps
    tokens: Maps
    examples: Maps
    neighbours: Maps
    names: pa.RecordBatchFileWriter


Pieces = Callable[[Sequence[int]], list[TokenPiece]]
"""What each token of a context shows, from the ids of all."""


def latents_describe(
    spec: FeatureRunSpec,
    out: Path,
    contexts: Contexts,
    each: SaeFirings,
    token_texts: Sequence[str],
    pieces: Pieces,
    progress: Progress,
) -> int:
    """Write statistics, tokens, examples, neighbours and names of all latents below `out`; returns how many fired at all.

    `token_texts` has the text of each token id. Raises DiskFull.
    """
    firings, F = each.firings, each.firings.d_sae
    describer = _Describer.of(spec, contexts, firings, token_texts, pieces)
    with _files_create(spec, out, F, describer.cutter.width, each.largest) as files:
        files.examples["group"][...] = slot_groups(spec)
        files.neighbours["similar_ids"][...], files.neighbours["similar_cosines"][...] = similar_rows(
            each.sae.W_dec, spec.neighbours
        )
        progress.phase("Describing latents", F, "latents")
        for latents in firings.by_latents():
            describer.fill(files, latents)
            progress.reach(latents.stop)
    return int((firings.counts_F > 0).sum())


@dataclass(frozen=True)
class _Describer:
    """Describes one range of latents after another."""

    spec: FeatureRunSpec
    positions: int
    """How many are included."""
    cutter: WindowCutter
    chooser: ExampleChooser
    scorer: Scorer
    coactivation: Coactivation
    namer: Namer

    @classmethod
    def of(
        cls, spec: FeatureRunSpec, contexts: Contexts, firings: Firings, token_texts: Sequence[str], pieces: Pieces
    ) -> "_Describer":
        cutter = WindowCutter(contexts.tokens, contexts.lengths, spec.window_before, spec.window_after)
        pool = zero_pool(firings.positions_P, spec.seed)
        return cls(
            spec=spec,
            positions=len(firings.positions_P),
            cutter=cutter,
            chooser=ExampleChooser(spec, cutter, pool, NearMisses(cutter, firings.positions_P)),
            scorer=Scorer(cutter, firings, token_texts, pool),
            coactivation=Coactivation(firings, spec.neighbours),
            namer=Namer(contexts.tokens, contexts.lengths, pieces, pool),
        )

    def fill(self, files: Files, latents: LatentFirings) -> None:
        """Write the rows of these latents."""
        rows = slice(latents.start, latents.stop)
        tokens = top_tokens(latents, self.cutter.tokens.reshape(-1), self.spec.top_tokens)
        centre_RS = self.chooser.centres(latents, tokens.ids)
        top_RS = centre_RS[:, : self.spec.top_examples]
        scores = self.scorer.of(latents, top_RS, tokens.counts[:, 0], self.spec.seed)
        coactive = self.coactivation.of(latents)
        statistics, examples = latent_statistics(latents, self.positions), self._examples(latents, centre_RS)
        measured = Measured(
            statistics.count, statistics.density, statistics.maximum, scores.agreement, scores.concentration
        )
        names = self.namer.of(measured, top_RS, examples["peak_value"][:, : self.spec.top_examples])
        rows_fill(files.statistics, rows, vars(statistics))
        rows_fill(files.statistics, rows, {name: getattr(scores, name) for name in SCORES})
        rows_fill(files.statistics, rows, {"interest": names.interest, "peculiarity": names.peculiarity})
        rows_fill(files.tokens, rows, vars(tokens))
        rows_fill(files.neighbours, rows, {f"coactive_{name}": values for name, values in vars(coactive).items()})
        rows_fill(files.examples, rows, examples)
        files.names.write_batch(_names_batch(names))

    def _examples(self, latents: LatentFirings, centre_RS: np.ndarray) -> Maps:
        """What the slots show around these places; empty ones have token ids and context -1."""
        shape, is_filled_RS = centre_RS.shape, centre_RS != EMPTY
        # silent windows keep their zeros
        owner_M, slot_M = np.nonzero(is_filled_RS & (slot_groups(self.spec) >= TOP_GROUP))
        activations = np.zeros((*shape, self.cutter.width), np.float32)
        activations[owner_M, slot_M] = self.cutter.activations(latents, owner_M, centre_RS[owner_M, slot_M])
        token_ids = np.full((*shape, self.cutter.width), OUTSIDE, np.int32)
        token_ids[is_filled_RS] = self.cutter.token_ids(centre_RS[is_filled_RS])
        context_RS = self.spec.first_context + centre_RS // self.cutter.tokens.shape[1]
        return {
            "token_ids": token_ids,
            "activations": activations,
            "peak": np.full(shape, self.cutter.before),
            "peak_value": activations[:, :, self.cutter.before],
            "context": np.where(is_filled_RS, context_RS, EMPTY),
        }


def rows_fill(maps: Maps, rows: slice, found: Mapping[str, np.ndarray]) -> None:
    """Raises EngineError "not_finite" rather than keep a number that is none."""
    for name, values in found.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            latent = rows.start + int(np.argwhere(~np.isfinite(values))[0, 0])
            raise EngineError(
                f"The {name.replace('_', ' ')} of feature {latent} is not finite.",
                "The SAE's activations are beyond float32: train it anew, or import it again.",
                code="not_finite",
            )
        maps[name][rows] = values


def _names_batch(names: Names) -> pa.RecordBatch:
    words = [[{"word": word, "share": share} for word, share in each] for each in names.peak_words]
    return pa.record_batch({"peak_words": words, "gloss": names.gloss}, schema=NAMES_SCHEMA)


@contextmanager
def _files_create(spec: FeatureRunSpec, out: Path, F: int, width: int, largest: float) -> Iterator[Files]:
    """All result files, full of zeros; names are appended. Raises DiskFull."""
    S, L, X = len(slot_groups(spec)), spec.top_tokens, spec.neighbours
    activation_type = "float16" if largest <= LARGEST_HALF else "float32"
    disk_require(out, F * (S * width * 8 + (HISTOGRAM_BINS + LOG_BINS) * 4 + L * 16 + X * 20))
    per_latent = dict.fromkeys(("density", "mean", "maximum", "second_moment", "interest", *SCORES), ("float32", (F,)))
    histograms = {"histogram": ("int32", (F, HISTOGRAM_BINS)), "log_histogram": ("int32", (F, LOG_BINS))}
    listed = dict.fromkeys(("means", "maxima"), ("float32", (F, L)))
    near = dict.fromkeys(("similar_cosines", "coactive_cosines", "coactive_shares"), ("float32", (F, X)))
    contents = {
        "statistics": {**per_latent, "count": ("int64", (F,)), "peculiarity": ("int8", (F,)), **histograms},
        "tokens": {"ids": ("int32", (F, L)), "counts": ("int32", (F, L)), **listed},
        "examples": {
            "token_ids": ("int32", (F, S, width)),
            "activations": (activation_type, (F, S, width)),
            "peak": ("int16", (F, S)),
            "peak_value": ("float32", (F, S)),
            "context": ("int32", (F, S)),
            "group": ("int8", (S,)),
        },
        "neighbours": {"similar_ids": ("int32", (F, X)), "coactive_ids": ("int32", (F, X)), **near},
    }
    maps = {name: tensor_file_create(out / f"{name}.safetensors", each) for name, each in contents.items()}
    with pa.ipc.new_file(out / NAMES, NAMES_SCHEMA) as names:
        yield Files(**maps, names=names)
