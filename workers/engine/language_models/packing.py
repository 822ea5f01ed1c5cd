"""Whether a model's matrices can be held in 4 bits.

Where a processor multiplies bfloat16 (AVX-512 BF16), bitsandbytes repacks nf4 weights for it: 32 outputs at a time, each
in whole blocks of 64 inputs that share a scale. Other widths end there in a failed product. They are refused on every
processor alike, so that a studio's models work wherever its data folder is taken.
"""

from transformers import PretrainedConfig, PreTrainedModel

from workers.engine.language_models.sizes import matrix_widths, model_without_weights, quantized_matrices
from workers.engine.specs.language_models import quantization_check

PACKED_INPUTS, PACKED_OUTPUTS = 64, 32


def nf4_misfit(model: PreTrainedModel) -> str:
    """The first matrix whose widths do not pack, "model.layers.0.mlp.up_proj (48 inputs, 128 outputs)"; "" when all do.

    Read off a model that is held as published, or has no weights at all (device "meta").
    """
    for path, matrix in quantized_matrices(model).items():
        inputs, outputs = matrix_widths(matrix)
        if inputs % PACKED_INPUTS or outputs % PACKED_OUTPUTS:
            return f"{path} ({inputs} inputs, {outputs} outputs)"
    return ""


def packing_check(config: PretrainedConfig, quantization: str) -> None:
    """Raise SpecInvalid when a model of this configuration cannot be held as `quantization`; no weight is read."""
    if quantization == "nf4":
        quantization_check(quantization, nf4_misfit(model_without_weights(config)))
