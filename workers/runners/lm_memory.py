"""What a language model's weights take on a device, for the leases of every job that runs one."""

from apps.language_models.models import LanguageModel
from apps.saes.models import Sae
from workers.engine.specs.memory_estimate import HELD_IN, weights_bytes

AS_PUBLISHED = "auto"
PUBLISHED_DTYPE = {dtype: quantization for quantization, dtype in HELD_IN.items()}


def held_as(language_model: LanguageModel) -> str:
    """The row's quantization for a job's Inputs; rows from before there was one are held as published."""
    return language_model.quantization or AS_PUBLISHED


def lm_weights_bytes(language_model: LanguageModel, lm_dtype: str) -> int:
    """Weights in memory; the device is not chosen yet, so "auto" counts as float32, the larger."""
    return weights_bytes(
        quantization=language_model.quantization or PUBLISHED_DTYPE.get(language_model.dtype, "fp32"),
        parameters=language_model.parameters,
        linear_parameters=language_model.report.get("linear_parameters", 0),
        multiplies_bf16=False,
        lm_dtype=lm_dtype,
    )


def warm_bytes(sae_id: int, lm_dtype: str) -> int:
    """What the warm child holds for an SAE: the language model as it is held, the SAE, and half as much again for the pass."""
    sae = Sae.objects.select_related("language_model").get(pk=sae_id)
    return int(1.5 * (lm_weights_bytes(sae.language_model, lm_dtype) + sae.d_in * sae.d_sae * 8))
