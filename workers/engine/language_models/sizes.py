"""Sizes that a language model's memory follows from, read off the model itself; on device "meta" it needs no weights."""

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workers.engine.hooks.wiring import decoder_blocks
from workers.engine.specs.errors import EngineError


def model_without_weights(config: PretrainedConfig) -> PreTrainedModel:
    """The model on device "meta". Raises EngineError "unsupported_architecture" for sizes that do not fit together."""
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False).eval()
    except (ValueError, TypeError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        raise EngineError(
            f"No {config.model_type} model can be built from its config.json: {error}",
            "The repository may be damaged, or made for another version of Transformers; choose another one.",
            code="unsupported_architecture",
        ) from error


def parameters_of(module: nn.Module) -> int:
    """Weights of the module and all below it, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def linear_parameters(model: PreTrainedModel) -> int:
    """Weights that bitsandbytes quantizes: matrices of nn.Linear and GPT-2's Conv1D, without the output head."""
    return sum(matrix.weight.numel() for matrix in quantized_matrices(model).values())


def quantized_matrices(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Path → matrix of everything that bitsandbytes quantizes."""
    head = model.get_output_embeddings()
    return {path: module for path, module in model.named_modules() if _is_matrix(module) and module is not head}


def hidden_width(model: PreTrainedModel) -> int:
    """The widest vector that a matrix of the blocks reads: d_mlp, wherever the MLP widens; 0 without matrices."""
    _, blocks = decoder_blocks(model)
    return max((matrix_widths(module)[0] for module in blocks.modules() if _is_matrix(module)), default=0)


@torch.no_grad()
def kv_width(model: PreTrainedModel) -> int:
    """Numbers in the key-value cache per token, all layers together: measured by running one token. 0 without such a cache.

    Without weights a mixture of experts cannot run (it chooses by value); then the configuration is believed.
    """
    token = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    try:
        cache = model(input_ids=token, use_cache=True).get("past_key_values")
    except (RuntimeError, NotImplementedError):
        if model.device.type != "meta":
            raise
        return _kv_width_by_configuration(model)
    layers = getattr(cache, "layers", ())
    tensors = [getattr(layer, name, None) for layer in layers for name in ("keys", "values")]
    return sum(tensor.numel() for tensor in tensors if isinstance(tensor, torch.Tensor))


def _kv_width_by_configuration(model: PreTrainedModel) -> int:
    """Layers × 2 × kv heads × head width."""
    config = model.config.get_text_config(decoder=True)
    heads = config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return config.num_hidden_layers * 2 * (getattr(config, "num_key_value_heads", None) or heads) * head_width


def footprint_in(model: PreTrainedModel, compute: torch.dtype) -> int:
    """`get_memory_footprint()` as it would be with every weight in `compute`: no second copy is made to find out."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return model.get_memory_footprint() - weights + parameters_of(model) * compute.itemsize


def _is_matrix(module: nn.Module) -> bool:
    return type(module) is nn.Linear or isinstance(module, Conv1D)


def matrix_widths(matrix: nn.Module) -> tuple[int, int]:
    """(inputs, outputs): Conv1D keeps its matrix as (in, out), nn.Linear as (out, in)."""
    rows, columns = matrix.weight.shape
    return (rows, columns) if isinstance(matrix, Conv1D) else (columns, rows)
