"""Hold a language model in another quantization: loaded once that way to see that it works, and measured. No files."""

from pathlib import Path

import torch

from workers.engine.language_models.loading import language_model_load, quantization_resolve
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError
from workers.engine.specs.language_models import (
    LanguageModelQuantizeInputs,
    LanguageModelQuantizeResult,
    LanguageModelQuantizeSpec,
)

TRIED_TOKENS = 8


def language_model_quantize(
    spec: LanguageModelQuantizeSpec, inputs: LanguageModelQuantizeInputs, progress: Progress
) -> LanguageModelQuantizeResult:
    """Load the model on the CPU as wished and run a few tokens.

    Raises BadArtifact for a folder that cannot be read, SpecInvalid for widths that do not pack, EngineError "not_finite"
    when the quantized model computes nonsense.
    """
    quantization = quantization_resolve(spec.quantization, inputs.model_dir)
    progress.phase("Loading the language model")
    footprint = quantized_footprint(inputs.model_dir, quantization)
    return LanguageModelQuantizeResult(quantization=quantization, footprint_bytes=footprint)


@torch.no_grad()
def quantized_footprint(model_dir: str | Path, quantization: str) -> int:
    """Bytes of the model loaded on the CPU, after it has shown that it computes."""
    model = language_model_load(model_dir, quantization=quantization, device="cpu")
    vocab_size = model.get_input_embeddings().weight.shape[0]
    ids_BT = torch.arange(TRIED_TOKENS)[None] % vocab_size
    if not model(input_ids=ids_BT, use_cache=False).logits.isfinite().all():
        raise EngineError(
            f"Held as {quantization}, the language model computes infinities or NaN.",
            "Hold it as published, or in 8 bits.",
            code="not_finite",
        )
    return model.get_memory_footprint()
