"""How long the writes about many features take: the end of a feature run of 65,536 latents, first and again, and bulk changes.

    python -m tests.bench.feature_rows [SQLite|PostgreSQL] [FEATURES]

prints one JSON line for each: seconds of clock and of CPU (with PostgreSQL's process), medians of three.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.feature_list import cpu_s, databases_run

FEATURES = 65_536
VOCABULARY, TOP_TOKENS, PROMOTED = 50_000, 20, 10
ROUNDS = 3


def files_write(folder: Path, count: int) -> None:
    """What the rows are made from: random statistics, Zipf-like top tokens, any promoted ones."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save_file

    from apps.features.run_rows import COLUMNS
    from workers.engine.text.spelling import SPELLING_KEY, Spelling, TokenScheme

    chance = np.random.default_rng(0)
    numbers = {name: chance.random(count, np.float32) for name in COLUMNS.values()}
    numbers["count"] = chance.integers(0, 10**6, count)
    save_file(numbers, folder / "statistics.safetensors")
    ids_FL = np.minimum(chance.zipf(1.3, (count, TOP_TOKENS)), VOCABULARY).astype(np.int32) - 1
    save_file({"ids": ids_FL}, folder / "tokens.safetensors")
    promoted_FL = chance.integers(0, VOCABULARY, (count, PROMOTED)).astype(np.int32)
    save_file({"promoted_ids": promoted_FL}, folder / "logits.safetensors")
    tokens = pa.table(
        {"token_id": pa.array(range(VOCABULARY), pa.int32()), "token": [f"Ġt{i}" for i in range(VOCABULARY)]}
    )
    tokens = tokens.replace_schema_metadata({SPELLING_KEY: Spelling(TokenScheme.BYTE_LEVEL).dump()})
    pq.write_table(tokens, folder / "vocabulary.parquet")


def run(count: int) -> None:
    """Fill the database that the environment names, and time what is written."""
    from django.db import transaction

    from apps.features.models import FeatureRun
    from apps.features.run_rows import rows_write, terms_write
    from apps.features.services import features_update
    from tests.apps.features.worlds import sae_make

    sae = sae_make(d_sae=count)
    made = FeatureRun.objects.create(sae=sae, tokenization=sae.tokenization)
    with tempfile.TemporaryDirectory() as folder:
        files_write(Path(folder), count)
        timed("rows of a first run", lambda: rows_write(made, Path(folder), count), rounds=1)
        timed("rows of a later run", lambda: rows_write(made, Path(folder), count))
        timed("terms of a run", transaction.atomic(lambda: terms_write(sae.pk, Path(folder))))
    everything = sae.features.all()
    for words in ("a", "b"):
        case = "label and category for all" if words == "a" else "another label and category for all"
        timed(
            case, lambda w=words: features_update(features=everything, label=f"rain {w}", category=f"C > {w}"), rounds=1
        )
    timed("clear them", lambda: features_update(features=everything, label="", category=""), rounds=1)
    timed("star all", lambda: features_update(features=everything, is_starred=True))


def timed(case: str, work: Callable[[], object], *, rounds: int = ROUNDS) -> None:
    """Print the line of a case."""
    from django.db import connection

    clock, cpu = [], []
    for _ in range(rounds):
        began, used = time.perf_counter(), cpu_s()
        work()
        clock.append(time.perf_counter() - began)
        cpu.append(cpu_s() - used)
    figures = {"s": round(statistics.median(clock), 2), "cpu_s": round(statistics.median(cpu), 2)}
    print(json.dumps({"bench": "feature_rows", "database": connection.vendor, "case": case, **figures}), flush=True)


if __name__ == "__main__":
    wanted = [word for word in sys.argv[1:] if not word.isdecimal()] or ["SQLite", "PostgreSQL"]
    counts = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    databases_run("tests.bench.feature_rows", wanted, counts[0] if counts else FEATURES)
