"""How fast a dataset becomes contexts, beside a plain loop of `tokenizer(batch)` over the same text, and in how much memory.

    python -m tests.bench.tokenization [megabytes]

One JSON line. `ratio_*` is our tokens per second over the plain loop's: everything we do (reading Parquet, hashing,
counting, packing, writing) against tokenizing alone, rounds interleaved in one process, medians. On one core
(RAYON_NUM_THREADS=1, a process of its own) the seconds are those of CPU time, of all threads together: what else the
machine does moves them little. On all cores they are those of the clock; `scaling` is our speed on all cores over that on
one, both by the clock. `rss_ratio` is the peak memory of tokenizing ten times the text over that for the text once, each
in a process of its own.
The text is generated words with a Zipf tail; the tokenizer is a byte-level BPE learnt from it.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from workers.engine.datasets.row_parts import RowParts
from workers.engine.datasets.rows import Rows
from workers.engine.datasets.tokenizing import tokenize
from workers.engine.language_models.loading import tokenizer_load
from workers.engine.progress import Progress
from workers.engine.specs.tokenization import TokenizeInputs, TokenizeSpec

ROUNDS = 5
WORDS, VOCAB_SIZE = 30_000, 8_000
ROW_WORDS = 300
PLAIN_BATCH = 1_000


def text_write(folder: Path, megabytes: float, *, copies: int = 1) -> None:
    """rows/ with documents of about ROW_WORDS words, and the tokenizer in model/."""
    generator = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = ["".join(generator.choice(letters[:18], size)) for size in generator.integers(2, 11, WORDS)]
    rows = max(1, int(megabytes * 1e6 / (ROW_WORDS * 7)))
    parts = RowParts(folder / "rows")
    for copy in range(copies):
        chosen = np.minimum(generator.zipf(1.2, (rows, ROW_WORDS)) - 1, WORDS - 1)
        texts = [f"{copy} " + " ".join(words[place] for place in row) for row in chosen]
        parts.write(pa.table({"text": texts}))
    parts.close()
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts[:500], vocab_size=VOCAB_SIZE, special_tokens=["<s>", "</s>"], show_progress=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder / "model")
    (folder / "model" / "config.json").write_text("{}")


def ours(folder: Path) -> int:
    """Tokenize the dataset; returns the tokens made."""
    with tempfile.TemporaryDirectory() as out:
        inputs = TokenizeInputs(
            job_dir="", out_dir=out, dataset_dir=str(folder), model_dir=str(folder / "model"), text_column="text"
        )
        return tokenize(TokenizeSpec(dataset=1, language_model=1), inputs, Progress()).document_tokens


def plain(folder: Path) -> int:
    """What anybody would write: the texts, a thousand at a time, through the tokenizer; nothing is kept."""
    tokenizer = tokenizer_load(folder / "model")
    batches = Rows.open(folder).text_batches("text", PLAIN_BATCH)
    return sum(
        sum(map(len, tokenizer([text.text for text in texts], add_special_tokens=False)["input_ids"]))
        for _, texts in batches
    )


def speeds(folder: Path) -> dict[str, float]:
    """Median tokens per second of both, rounds interleaved: by the clock, and by CPU time as `ours_cpu`, `plain_cpu`."""
    seen: dict[str, list[float]] = {}
    for number in range(ROUNDS + 1):
        for name, work in (("ours", ours), ("plain", plain)):
            began = time.perf_counter(), time.process_time()
            tokens = work(folder)
            clock_s, cpu_s = time.perf_counter() - began[0], time.process_time() - began[1]
            if number:  # the first round warms up
                seen.setdefault(name, []).append(tokens / clock_s)
                seen.setdefault(f"{name}_cpu", []).append(tokens / cpu_s)
    return {name: statistics.median(rounds) for name, rounds in seen.items()}


def in_a_process_of_its_own(what: str, folder: Path, **environment: str) -> dict[str, float]:
    """Run `what` (speeds or memory) of this file in a child; its JSON."""
    command = [sys.executable, "-m", "tests.bench.tokenization", what, str(folder)]
    known = {**os.environ, "TOKENIZERS_PARALLELISM": "true", **environment}
    return json.loads(subprocess.run(command, env=known, check=True, capture_output=True).stdout)


def main(megabytes: float) -> None:
    """Print the line."""
    with tempfile.TemporaryDirectory() as once, tempfile.TemporaryDirectory() as ten_times:
        text_write(Path(once), megabytes)
        text_write(Path(ten_times), megabytes, copies=10)
        one_core = in_a_process_of_its_own("speeds", Path(once), RAYON_NUM_THREADS="1")
        all_cores = in_a_process_of_its_own("speeds", Path(once))
        memory = [in_a_process_of_its_own("memory", Path(folder))["rss"] for folder in (once, ten_times)]
    line = {
        "bench": "tokenization",
        "megabytes": megabytes,
        "cores": os.cpu_count(),
        "tokens_per_s_one_core": round(one_core["ours_cpu"]),
        "ratio_one_core": round(one_core["ours_cpu"] / one_core["plain_cpu"], 3),
        "tokens_per_s_all_cores": round(all_cores["ours"]),
        "ratio_all_cores": round(all_cores["ours"] / all_cores["plain"], 3),
        "scaling": round(all_cores["ours"] / one_core["ours"], 2),
        "rss_mib": [round(size / 2**20) for size in memory],
        "rss_ratio": round(memory[1] / memory[0], 3),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    if sys.argv[1:2] == ["speeds"]:
        print(json.dumps(speeds(Path(sys.argv[2]))))
    elif sys.argv[1:2] == ["memory"]:
        ours(Path(sys.argv[2]))
        print(json.dumps({"rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
