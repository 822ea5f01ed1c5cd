"""Second half of a feature run: from the firings of one SAE to the files that DescribedSae names.

Range after range of latents, all of a latent's firings at hand: statistics.py, top_tokens.py, examples.py, neighbours.py,
scoring.py.
No dense (tokens, F) array is ever made.

Shapes: F latents, S example slots, W window, L listed tokens, X neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.engine.datasets.contexts import Contexts
from workers.engine.disk import disk_require
from workers.engine.features.examples import EMPTY, ExampleChooser, slot_groups, zero_pool
from workers.engine.features.firings import LatentFirings
from workers.engine.features.near_misses import NearMisses
from workers.engine.features.neighbours import NONE, Coactivation, similar_rows
from workers.engine.features.reading import SaeFirings
from workers.engine.features.scoring import Scorer
from workers.engine.features.statistics import latent_statistics
from workers.engine.features.top_tokens import top_tokens
from workers.engine.features.windows import OUTSIDE, WindowCutter
from workers.engine.progress import Progress
from workers.engine.specs.features import HISTOGRAM_BINS, LOG_BINS, TOP_GROUP, FeatureRunSpec
from workers.engine.tensor_file import tensor_file_create

LARGEST_HALF = 60_000.0
"""Activations up to here are stored as float16, larger ones as float32."""
SCORES = ("consistency", "concentration", "agreement", "score")
SCORING = 1
"""Sets the random numbers of scoring apart from those that choose examples."""
Maps = dict[str, np.ndarray]


@dataclass(frozen=True)
class Files:
    """Writable memory maps of the result files."""

    statistics: Maps
    tokens: Maps
    examples: Maps
    neighbours: Maps


def latents_describe(
    spec: FeatureRunSpec,
    out: Path,
    contexts: Contexts,
    each: SaeFirings,
    token_texts: Sequence[str],
    progress: Progress,
) -> int:
    """Write statistics, tokens, examples and neighbours of all latents below `out`; returns how many fired at all.

    `token_texts` has the text of each token id. Raises DiskFull.
    """
    firings, F = each.firings, each.firings.d_sae
    included_P = firings.positions_P
    cutter = WindowCutter(contexts.tokens, contexts.lengths, spec.window_before, spec.window_after)
    pool = zero_pool(included_P, spec.seed)
    chooser = ExampleChooser(spec, cutter, pool, NearMisses(cutter, included_P))
    scorer, coactivation = Scorer(cutter, included_P, token_texts, pool), Coactivation(firings, spec.neighbours)
    files = _files_create(spec, out, F, cutter.width, each.largest)
    files.examples["group"][...] = slot_groups(spec)
    files.neighbours["coactive_ids"][...] = NONE
    files.neighbours["similar_ids"][...], files.neighbours["similar_cosines"][...] = similar_rows(
        each.sae.W_dec, spec.neighbours
    )
    progress.phase("Describing latents", F, "latents")
    for latents in firings.by_latents():
        _range_describe(spec, files, latents, cutter, len(included_P))
        for latent in range(latents.start, latents.stop):
            top = _examples_fill(spec, files, latent, latents, chooser)
            _scores_fill(spec, files, latent, latents, top, scorer)
            _coactive_fill(files.neighbours, latent, latents, coactivation)
        progress.reach(latents.stop)
    return int((firings.counts_F > 0).sum())


def _range_describe(
    spec: FeatureRunSpec, files: Files, latents: LatentFirings, cutter: WindowCutter, positions: int
) -> None:
    """What is computed for all latents of a range at once."""
    rows = slice(latents.start, latents.stop)
    for name, values in vars(latent_statistics(latents, positions)).items():
        files.statistics[name][rows] = values
    for name, values in vars(top_tokens(latents, cutter.tokens.reshape(-1), spec.top_tokens)).items():
        files.tokens[name][rows] = values


def _files_create(spec: FeatureRunSpec, out: Path, F: int, width: int, largest: float) -> Files:
    """All result files, full of zeros. Raises DiskFull."""
    S, L, X = len(slot_groups(spec)), spec.top_tokens, spec.neighbours
    activation_type = "float16" if largest <= LARGEST_HALF else "float32"
    disk_require(out, F * (S * width * 8 + (HISTOGRAM_BINS + LOG_BINS) * 4 + L * 16 + X * 20))
    per_latent = dict.fromkeys(("density", "mean", "maximum", "second_moment", *SCORES), ("float32", (F,)))
    histograms = {"histogram": ("int32", (F, HISTOGRAM_BINS)), "log_histogram": ("int32", (F, LOG_BINS))}
    listed = dict.fromkeys(("means", "maxima"), ("float32", (F, L)))
    near = dict.fromkeys(("similar_cosines", "coactive_cosines", "coactive_shares"), ("float32", (F, X)))
    contents = {
        "statistics": {**per_latent, "count": ("int64", (F,)), **histograms},
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
    return Files(**{name: tensor_file_create(out / f"{name}.safetensors", each) for name, each in contents.items()})


def _examples_fill(
    spec: FeatureRunSpec, files: Files, latent: int, latents: LatentFirings, chooser: ExampleChooser
) -> np.ndarray:
    """One latent's slots; empty ones get token ids and context -1. Returns the places of its top examples."""
    examples, cutter = files.examples, chooser.cutter
    positions_N, values_N = latents.of(latent)
    top_ids = files.tokens["ids"][latent]
    centres_S = chooser.centres(latent, positions_N, values_N, top_ids[top_ids != NONE])
    is_filled_S = centres_S != EMPTY
    centres = centres_S[is_filled_S]
    examples["token_ids"][latent] = OUTSIDE
    examples["context"][latent] = EMPTY
    examples["peak"][latent] = cutter.before
    if not len(centres):
        return centres
    activations = cutter.activations(centres, positions_N, values_N)
    examples["token_ids"][latent, is_filled_S] = cutter.token_ids(centres)
    examples["activations"][latent, is_filled_S] = activations
    examples["peak_value"][latent, is_filled_S] = activations[:, cutter.before]
    examples["context"][latent, is_filled_S] = spec.first_context + centres // cutter.tokens.shape[1]
    return centres_S[is_filled_S & (examples["group"] == TOP_GROUP)]


def _scores_fill(
    spec: FeatureRunSpec, files: Files, latent: int, latents: LatentFirings, top: np.ndarray, scorer: Scorer
) -> None:
    generator = np.random.default_rng([spec.seed, latent, SCORING])
    found = scorer.of(*latents.of(latent), top, int(files.tokens["counts"][latent].max()), generator)
    for name in SCORES:
        files.statistics[name][latent] = getattr(found, name)


def _coactive_fill(neighbours: Maps, latent: int, latents: LatentFirings, coactivation: Coactivation) -> None:
    found = coactivation.of(latent, latents)
    for name in ("ids", "cosines", "shares"):
        values = getattr(found, name)
        neighbours[f"coactive_{name}"][latent, : len(values)] = values
