"""Feature run: statistics, examples and logit lists for all latents of an SAE, from one pass over a tokenization.

    1. Contexts run through the language model up to the hook site; included positions are encoded; every firing goes
       to disk (firings.py). The training part is read first, then the held-out part, up to `max_tokens` tokens.
    2. Range after range of latents, all of a latent's firings at hand: statistics.py, examples.py, windows.py.
    3. Logit lists from the weights alone: logit_lens.py.

No dense (tokens, F) array is ever made. Position 0 and sink tokens are left out of everything but the text of windows.
The SAE is read in the unit gauge where that keeps its function, so activations are lengths along unit directions. A
transcoder's latents fire on what it reads; logit lists follow its rows from the site that it answers.
`context` in examples counts through both parts: 0… are those of the training part, the held-out ones follow.

Shapes: N contexts, T tokens in a context, B contexts at once, D d_in, F d_sae, S example slots, W window.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import PreTrainedModel

from workers.engine.activations.positions import included_positions
from workers.engine.datasets.contexts import PARTS, Contexts
from workers.engine.disk import disk_require
from workers.engine.features.examples import EMPTY, ExampleChooser, slot_groups, zero_pool
from workers.engine.features.firings import Firings, LatentFirings
from workers.engine.features.logit_lens import logit_lists, output_directions
from workers.engine.features.statistics import latent_statistics
from workers.engine.features.windows import OUTSIDE, WindowCutter
from workers.engine.formats.saelens import sae_read
from workers.engine.hooks.capture import capture
from workers.engine.language_models.loading import language_model_load
from workers.engine.progress import Progress
from workers.engine.saes.sae import Sae
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.features import HISTOGRAM_BINS, FeatureRunInputs, FeatureRunResult, FeatureRunSpec
from workers.engine.tensor_file import tensor_file_create

LARGEST_HALF = 60_000.0
"""Activations up to here are stored as float16, larger ones as float32."""
VOCABULARY = "vocabulary.parquet"
MOST_POSITIONS = 2**31 - 1
"""Positions are kept as int32."""


@dataclass(frozen=True)
class Reading:
    """What pass 1 left behind; the firings themselves are in `Firings`."""

    included_positions: np.ndarray
    """Flat positions that were encoded, ascending."""
    largest: float
    """Largest activation of any latent."""
    seconds: float


def feature_run(spec: FeatureRunSpec, inputs: FeatureRunInputs, progress: Progress) -> FeatureRunResult:
    """Fill `inputs.out_dir` with the files that FeatureRunResult describes. Raises BadArtifact, DiskFull."""
    progress.phase("Loading the language model")
    out = Path(inputs.out_dir)
    sae = sae_read(inputs.sae_dir).with_unit_decoder().to(inputs.device)
    contexts = contexts_to_read(inputs.tokenization_dir, spec.max_tokens)
    vocabulary_size = _vocabulary_copy(inputs.model_dir, out)
    model = language_model_load(
        inputs.model_dir, quantization=inputs.quantization, lm_dtype=spec.lm_dtype, device=inputs.device
    )
    _check_vocabulary(model, contexts.tokens)
    firings = Firings(out / "firings", sae.encode_spec.d_sae)
    reading = _contexts_read(spec, model, sae, contexts, firings, progress)
    alive = _latents_write(spec, out, contexts, firings, reading, progress)
    firings.close()
    _logits_write(spec, out, sae, model, vocabulary_size, progress)
    return FeatureRunResult(
        tokens=len(reading.included_positions),
        contexts=len(contexts),
        d_sae=sae.encode_spec.d_sae,
        alive=alive,
        tokens_per_s=contexts.token_count / max(reading.seconds, 1e-9),
        bytes=sum(path.stat().st_size for path in out.iterdir()),
    )


def contexts_to_read(tokenization_dir: str | Path, max_tokens: int) -> Contexts:
    """Contexts of the training part, then of the held-out part, until `max_tokens` are reached.

    Never more than MOST_POSITIONS places.
    """
    train, heldout = (Contexts.open(tokenization_dir, part) for part in PARTS)
    most = MOST_POSITIONS // train.context_length
    train = train[: min(train.count_reaching(max_tokens), most)]
    missing = max_tokens - train.token_count
    heldout = heldout[: min(heldout.count_reaching(missing), most - len(train)) if missing > 0 else 0]
    if not len(train) + len(heldout):
        raise BadArtifact("The tokenization has no contexts.", "Tokenize more text.")
    return Contexts(
        tokens=np.concatenate([train.tokens, heldout.tokens]),
        first_row=np.concatenate([train.first_row, heldout.first_row]),
        lengths=np.concatenate([train.lengths, heldout.lengths]),
    )


def _contexts_read(
    spec: FeatureRunSpec, model: PreTrainedModel, sae: Sae, contexts: Contexts, firings: Firings, progress: Progress
) -> Reading:
    """Pass 1."""
    progress.phase("Reading contexts", contexts.token_count, "tokens")
    started = time.perf_counter()
    included, largest, done = [], 0.0, 0
    for first in range(0, len(contexts), spec.batch_contexts):
        batch = contexts[first : first + spec.batch_contexts]
        x_BTD = capture(model, torch.from_numpy(batch.tokens).long(), sae.encode_spec.hook_site)
        is_included_BT = included_positions(x_BTD, sae.encode_spec.sink_threshold, torch.from_numpy(batch.is_token))
        within = is_included_BT.flatten().nonzero().squeeze(1).cpu().numpy()
        positions = first * contexts.context_length + within
        fired = sae.encode_sparse(x_BTD[is_included_BT])
        values = fired.value_N.float().cpu().numpy()
        firings.add(positions[fired.token_N.cpu().numpy()], fired.latent_N.cpu().numpy(), values)
        included.append(positions)
        largest = max(largest, float(values.max(initial=0.0)))
        done += batch.token_count
        progress.reach(done, f"{done / (time.perf_counter() - started):,.0f} tokens/s")
    return Reading(np.concatenate(included), largest, time.perf_counter() - started)


def _latents_write(
    spec: FeatureRunSpec, out: Path, contexts: Contexts, firings: Firings, reading: Reading, progress: Progress
) -> int:
    """Pass 2: statistics.safetensors and examples.safetensors; returns how many latents fired at all."""
    F = firings.d_sae
    cutter = WindowCutter(contexts.tokens, contexts.lengths, spec.window_before, spec.window_after)
    chooser = ExampleChooser(spec, cutter, zero_pool(reading.included_positions, spec.seed))
    statistics, examples = _files_create(spec, out, F, cutter.width, reading.largest)
    examples["group"][...] = slot_groups(spec)
    progress.phase("Collecting examples", F, "latents")
    for latents in firings.by_latents():
        found = latent_statistics(latents, len(reading.included_positions))
        for name, target in statistics.items():
            target[latents.start : latents.stop] = getattr(found, name)
        for latent in range(latents.start, latents.stop):
            _examples_fill(examples, latent, latents, chooser)
        progress.reach(latents.stop)
    return int((firings.counts > 0).sum())


def _files_create(
    spec: FeatureRunSpec, out: Path, F: int, width: int, largest: float
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Both result files, full of zeros. Raises DiskFull."""
    S = len(slot_groups(spec))
    activation_type = "float16" if largest <= LARGEST_HALF else "float32"
    disk_require(out, F * (S * width * 8 + HISTOGRAM_BINS * 4))
    per_latent = dict.fromkeys(("density", "mean", "maximum", "second_moment"), ("float32", (F,)))
    statistics = tensor_file_create(
        out / "statistics.safetensors",
        {**per_latent, "count": ("int64", (F,)), "histogram": ("int32", (F, HISTOGRAM_BINS))},
    )
    examples = tensor_file_create(
        out / "examples.safetensors",
        {
            "token_ids": ("int32", (F, S, width)),
            "activations": (activation_type, (F, S, width)),
            "peak": ("int16", (F, S)),
            "peak_value": ("float32", (F, S)),
            "context": ("int32", (F, S)),
            "group": ("int8", (S,)),
        },
    )
    return statistics, examples


def _examples_fill(
    examples: dict[str, np.ndarray], latent: int, latents: LatentFirings, chooser: ExampleChooser
) -> None:
    """One latent's slots; empty ones get token ids and context -1."""
    positions_N, values_N = latents.of(latent)
    centres_S = chooser.centres(latent, positions_N, values_N)
    is_filled_S = centres_S != EMPTY
    centres = centres_S[is_filled_S]
    cutter = chooser.cutter
    examples["token_ids"][latent] = OUTSIDE
    examples["context"][latent] = EMPTY
    examples["peak"][latent] = cutter.before
    if not len(centres):
        return
    activations = cutter.activations(centres, positions_N, values_N)
    examples["token_ids"][latent, is_filled_S] = cutter.token_ids(centres)
    examples["activations"][latent, is_filled_S] = activations
    examples["peak_value"][latent, is_filled_S] = activations[:, cutter.before]
    examples["context"][latent, is_filled_S] = centres // cutter.tokens.shape[1]


def _logits_write(
    spec: FeatureRunSpec, out: Path, sae: Sae, model: PreTrainedModel, vocabulary_size: int, progress: Progress
) -> None:
    """logits.safetensors."""
    F, listed = sae.encode_spec.d_sae, spec.logit_tokens
    names = ("promoted_ids", "suppressed_ids", "promoted_values", "suppressed_values")
    types = {name: "int32" if name.endswith("ids") else "float32" for name in names}
    target = tensor_file_create(out / "logits.safetensors", {name: (types[name], (F, listed)) for name in names})
    progress.phase("Reading logits", F, "latents")
    unembedding_VD = model.get_output_embeddings().weight[:vocabulary_size]
    for lists in logit_lists(output_directions(sae, model), unembedding_VD, listed):
        for name in names:
            found = getattr(lists, name).cpu().numpy()
            target[name][lists.start : lists.start + len(found)] = found
        progress.reach(lists.start + len(found))


def _check_vocabulary(model: PreTrainedModel, tokens_NT: np.ndarray) -> None:
    """Raises BadArtifact when a token has no embedding: the tokenization was made for another model."""
    rows = model.get_input_embeddings().weight.shape[0]
    if tokens_NT.max() >= rows:
        raise BadArtifact(
            f"The tokenization holds token {tokens_NT.max()}; the language model knows {rows:,}.",
            "Tokenize the dataset with this language model's tokenizer.",
        )


def _vocabulary_copy(model_dir: str, out: Path) -> int:
    """Copy the vocabulary beside the examples; returns the number of token ids that have a name."""
    source = Path(model_dir) / VOCABULARY
    if not source.exists():
        raise BadArtifact(f"The language model has no {VOCABULARY}.", "Import the language model again.")
    shutil.copyfile(source, out / VOCABULARY)
    ids = pq.read_table(source, columns=["token_id"]).column("token_id").to_numpy()
    return int(ids.max()) + 1
