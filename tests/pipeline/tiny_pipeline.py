"""The whole way on a tiny model with random weights, by the commands a user types."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.engine.tiny_models import PACKED_WIDTH, SENTENCES, tiny_model_folder
from tests.pipeline.scratch import ScratchStudio

CONTEXT_LENGTH = 32
DOCUMENTS = 400


@dataclass(frozen=True)
class TinyData:
    """Ids of what `tiny_data` made."""

    language_model: int
    dataset: int
    tokenization: int
    activation_cache: int


def text_file(folder: Path) -> Path:
    """Some hundred short documents of varying order."""
    path = folder / "sentences.txt"
    documents = (
        " ".join(SENTENCES[(i + j * (i % 5 + 1)) % len(SENTENCES)] for j in range(6)) for i in range(DOCUMENTS)
    )
    path.write_text("\n\n".join(f"{i}. {document}" for i, document in enumerate(documents)))
    return path


def tiny_data(studio: ScratchStudio, folder: Path) -> TinyData:
    """Model, text, contexts and activations, each made by its command."""
    studio.manage("migrate", "--verbosity", "0")
    model = tiny_model_folder(folder, "llama", width=PACKED_WIDTH)
    lm = studio.json("language_model_import", "--source", "folder", "--path", model, "--wait")["subject"]["id"]
    dataset = studio.json("dataset_import", "--source", "file", "--path", text_file(folder), "--wait")["subject"]["id"]
    tokenization = studio.json(
        "tokenize", "--dataset", dataset, "--language-model", lm, "--context-length", CONTEXT_LENGTH, "--wait"
    )["subject"]["id"]
    cache = studio.json(
        "activation_cache", "--tokenization", tokenization, "--language-model", lm, "--layer", 2,
        "--lm-dtype", "float32", "--wait",
    )["subject"]["id"]  # fmt: skip
    return TinyData(lm, dataset, tokenization, cache)


def training_arguments(data: TinyData, *, steps: int, architecture: str = "topk") -> list[object]:
    """Arguments of a `train` command that takes some seconds for a thousand steps."""
    return [
        "--activation-cache", data.activation_cache, "--architecture", architecture, "--d-sae", 256, "--k", 8,
        "--batch-size", 512, "--steps", steps, "--checkpoint-every", 50, "--dead-after-tokens", 20_000, "--seed", 3,
    ]  # fmt: skip


def copy_of(data_dir: Path, target: Path) -> ScratchStudio:
    """A studio on a copy of a prepared data folder."""
    shutil.copytree(data_dir, target, ignore=shutil.ignore_patterns("studio.*", "*.log"))
    return ScratchStudio(target)
