"""How a loaded language model is read, for the results that rest on it."""

from transformers import PreTrainedModel

from workers.engine.language_models.loading import quantization_resolve
from workers.engine.specs.read_as import ReadAs


def read_as(model: PreTrainedModel, quantization: str, model_dir: str, *, context_length: int) -> ReadAs:
    """`quantization` and `model_dir` are those that the model was loaded with."""
    return ReadAs(
        lm_dtype=str(model.dtype).removeprefix("torch."),
        quantization=quantization_resolve(quantization, model_dir),
        context_length=context_length,
    )
