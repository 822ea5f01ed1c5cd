"""Language analysis of a feature run, for all of its features or one.

    1. The contexts that occur in top and quantile examples are parsed, each once (parsing.py). What earlier analyses of the run
       parsed is taken over, and what a killed try parsed too.
    2. Feature after feature, the peaks of the examples are looked up in the parsed contexts and counted (peaks.py,
       language_counts.py).

Activations are not looked at again: an example counts once, however strong.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from workers.engine.features.language_counts import LanguageCounter
from workers.engine.features.parsing import (
    Parsing,
    pipeline_load,
    pipeline_name,
    tokens_of,
    tokens_read,
    tokens_write,
)
from workers.engine.features.peaks import ExampleContexts, Examples
from workers.engine.progress import Progress
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.feature_language import (
    ANALYSES,
    ANALYSES_BATCH,
    PARSED,
    FeatureLanguage,
    FeatureLanguageInputs,
    FeatureLanguageResult,
    FeatureLanguageSpec,
)

SCHEMA = pa.schema({"analysis": pa.string()})


def feature_language(
    spec: FeatureLanguageSpec, inputs: FeatureLanguageInputs, progress: Progress
) -> FeatureLanguageResult:
    """Analyse one feature, or all, and write the files that FeatureLanguageResult names.

    Raises BadArtifact, EngineError "parser_missing", Stopped for a wish.
    """
    begun = time.perf_counter()
    progress.phase("Loading the parser")
    pipeline = pipeline_load()
    parser = pipeline_name(pipeline)
    examples = Examples(inputs.run_dir)
    latents = _latents(spec, examples)
    numbers = examples.contexts(latents)
    contexts = ExampleContexts(inputs.tokenization_dir, Path(inputs.run_dir) / "vocabulary.parquet", numbers)
    table, parsed = _parsed(
        contexts, inputs, Parsing(pipeline, Path(inputs.job_dir) / PARSED, contexts.length), parser, progress
    )
    counter = LanguageCounter(contexts, tokens_of(table))
    out = Path(inputs.out_dir)
    found: list[FeatureLanguage | None] = []
    if spec.feature is None:
        tokens_write(out / f"{PARSED}.arrow", table, parser)
        features = _analyses_write(out / ANALYSES, latents, examples, contexts, counter, progress)
    else:
        if len(parsed):
            is_new = np.isin(table["context"].to_numpy(), parsed)
            tokens_write(out / f"{PARSED}.arrow", table.filter(pa.array(is_new)), parser)
        found = [_analysis(latent, examples, contexts, counter) for latent in latents]
        features = len(found) - found.count(None)
    return FeatureLanguageResult(
        features=features,
        contexts=len(numbers),
        parsed=len(parsed),
        parser=parser,
        seconds=time.perf_counter() - begun,
        analysis=found[0] if found else None,
    )


def _latents(spec: FeatureLanguageSpec, examples: Examples) -> range:
    if spec.feature is None:
        return range(examples.latents)
    if spec.feature >= examples.latents:
        raise BadArtifact(f"The run has no feature {spec.feature}.", f"Its features are 0 to {examples.latents - 1}.")
    return range(spec.feature, spec.feature + 1)


def _parsed(
    contexts: ExampleContexts, inputs: FeatureLanguageInputs, parsing: Parsing, parser: str, progress: Progress
) -> tuple[pa.Table, np.ndarray]:
    """Parsed tokens of all contexts, and the numbers of those contexts that were not parsed before this job."""
    earlier = sorted(Path(inputs.parsed_dir).glob(f"{PARSED}*.arrow"))
    known = np.unique(tokens_read(earlier, parser)["context"].to_numpy())
    to_parse = contexts.numbers[~np.isin(contexts.numbers, known)]
    by_this_job = np.unique(tokens_read(parsing.parts, parser)["context"].to_numpy())
    missing = to_parse[~np.isin(to_parse, by_this_job)]
    row_of = dict(zip(missing.tolist(), contexts.rows(missing).tolist()))
    if len(missing) < len(to_parse):
        progress.event(f"Resumed after {len(to_parse) - len(missing)} of {len(to_parse)} contexts.")
    if row_of:
        parsing.run(list(row_of), lambda number: [piece.text for piece in contexts.pieces(row_of[number])], progress)
    table = tokens_read([*earlier, *parsing.parts], parser)
    return table.filter(pa.array(np.isin(table["context"].to_numpy(), contexts.numbers))), to_parse


def _analysis(
    latent: int, examples: Examples, contexts: ExampleContexts, counter: LanguageCounter
) -> FeatureLanguage | None:
    """The analysis of one latent; None without examples."""
    peaks = examples.peaks(latent, contexts)
    return counter.of(peaks) if len(peaks.row_N) else None


def _analyses_write(
    path: Path,
    latents: range,
    examples: Examples,
    contexts: ExampleContexts,
    counter: LanguageCounter,
    progress: Progress,
) -> int:
    """features.arrow; returns how many latents have an analysis."""
    progress.phase("Counting", len(latents), "features")
    features = 0
    with pa.ipc.new_file(path, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
        for batch in _batches(latents):
            found = [_analysis(latent, examples, contexts, counter) for latent in batch]
            features += len(found) - found.count(None)
            rows = [
                None if each is None else json.dumps(vars(each), ensure_ascii=False, default=vars) for each in found
            ]
            file.write_batch(pa.record_batch([pa.array(rows, pa.string())], schema=SCHEMA))
            progress.reach(batch.stop)
    return features


def _batches(latents: range) -> Iterator[range]:
    for start in range(latents.start, latents.stop, ANALYSES_BATCH):
        yield range(start, min(start + ANALYSES_BATCH, latents.stop))
