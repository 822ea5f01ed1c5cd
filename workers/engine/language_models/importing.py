"""Bring a language model into the studio: fetch or convert its files, load it once, write down what it is.

The folder that comes out has config.json, *.safetensors, the tokenizer's files and vocabulary.parquet. Nothing in it can
run code, and the model is known to load, to be complete and to be a decoder.
"""

from pathlib import Path

from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from workers.engine.language_models.context_fit import tokenizer_check
from workers.engine.language_models.describing import ModelDescription, model_describe
from workers.engine.language_models.gguf_conversion import gguf_convert
from workers.engine.language_models.hashing import weights_sha256
from workers.engine.language_models.hub_download import hub_download
from workers.engine.language_models.loading import published_quantization, tokenizer_load
from workers.engine.language_models.model_files import WEIGHTS_SHA256, decoder_only_check, folder_copy
from workers.engine.language_models.quantizing import quantized_footprint
from workers.engine.language_models.sizes import footprint_in
from workers.engine.language_models.tokenizer_hash import tokenizer_sha256
from workers.engine.language_models.vocabulary import vocabulary_write
from workers.engine.library_warnings import library_warnings
from workers.engine.precision import lm_compute_dtype
from workers.engine.progress import Progress
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.language_models import (
    LanguageModelImportInputs,
    LanguageModelImportResult,
    LanguageModelImportSpec,
)
from workers.engine.specs.memory_estimate import HELD_IN

TOKENIZER = "tokenizer.json"
SHOWN = 5
"""Names of unused weights that are told."""


def language_model_import(
    spec: LanguageModelImportSpec, inputs: LanguageModelImportInputs, progress: Progress
) -> LanguageModelImportResult:
    """Fill inputs.out_dir and describe the model.

    Raises EngineError with the codes of hub_download.py, model_files.py and gguf_conversion.py, BadArtifact for damaged or
    incomplete files, DiskFull.
    """
    out = Path(inputs.out_dir)
    with library_warnings(progress):
        revision, licence = _fetch(spec, inputs, progress)
        decoder_only_check(out)
        progress.phase("Reading the model")
        tokenizer = tokenizer_load(out)
        if not (out / TOKENIZER).exists():
            progress.event(
                f"The source has no {TOKENIZER}: the tokenizer was rebuilt from {type(tokenizer).__name__}'s other files. "
                "Look at a preview before anything is cut with it.",
                level="warning",
            )
        described, quantization, footprint = _model_read(out, spec.quantization, progress)
    tokenizer_check(vocabulary_write(tokenizer, out), described.vocab_size)
    sha256 = weights_sha256(out, progress)
    (out / WEIGHTS_SHA256).write_text(sha256, "utf-8")
    return LanguageModelImportResult(
        **vars(described),
        bytes=sum(path.stat().st_size for path in out.iterdir()),
        licence=licence,
        revision=revision,
        weights_sha256=sha256,
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        has_chat_template=bool(tokenizer.chat_template),
        quantization=quantization,
        footprint_bytes=footprint,
    )


def _model_read(out: Path, quantization: str, progress: Progress) -> tuple[ModelDescription, str, int]:
    """What is known of the model, how it will be held, and its footprint then, on the CPU.

    The published weights are gone from memory before quantized ones are loaded.
    """
    model, unused = complete_model_load(out)
    if unused:
        names = ", ".join(unused[:SHOWN]) + (", …" if len(unused) > SHOWN else "")
        progress.event(
            f"{len(unused):,} weights of the files are not used by {type(model).__name__}: {names}.", level="warning"
        )
    described = model_describe(model)
    if quantization == "auto":
        quantization = published_quantization(described.dtype)
    if quantization in HELD_IN:
        return described, quantization, footprint_in(model, lm_compute_dtype(quantization, "auto", "cpu"))
    del model
    progress.phase("Quantizing")
    return described, quantization, quantized_footprint(out, quantization)


def _fetch(spec: LanguageModelImportSpec, inputs: LanguageModelImportInputs, progress: Progress) -> tuple[str, str]:
    """Put the model's files into out_dir; returns revision and licence, "" where the source names none."""
    if spec.source == "hub":
        keep_dir = Path(inputs.job_dir) / "download"
        found = hub_download(
            spec.repo_id, spec.revision, inputs.out_dir, keep_dir, progress, quantization=spec.quantization
        )
        return found.revision, found.licence
    if spec.source == "gguf":
        progress.phase("Converting GGUF")
        return "", gguf_convert(inputs.path, inputs.out_dir, spec.quantization)
    progress.phase("Copying files")
    folder_copy(inputs.path, inputs.out_dir, spec.quantization, progress)
    return "", ""


def complete_model_load(folder: str | Path) -> tuple[PreTrainedModel, list[str]]:
    """The model in the precision it is stored in, on the CPU, and names of weights that it has no use for.

    Raises BadArtifact when weights are damaged or missing.
    """
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, SafetensorError, ValueError, RuntimeError, ImportError) as error:
        raise BadArtifact(f"The weights cannot be read: {error}", "A file may be damaged; fetch it again.") from error
    if missing := sorted(report["missing_keys"]):
        raise BadArtifact(
            f"{len(missing)} weights are missing, {missing[0]} among them: the model would run with random ones.",
            "The folder is incomplete, or holds a base model without its output head; choose another source.",
        )
    return model.eval(), sorted(report["unexpected_keys"])
