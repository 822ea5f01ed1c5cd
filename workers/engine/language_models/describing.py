"""What is known of a language model once it is loaded: its sizes, its hook sites, and the tree of its modules."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from workers.engine.hooks.sites import hook_sites
from workers.engine.hooks.wiring import model_wiring
from workers.engine.language_models.context_fit import longest_context
from workers.engine.language_models.packing import nf4_misfit
from workers.engine.language_models.sizes import kv_width, linear_parameters, parameters_of
from workers.engine.specs.language_models import HookSiteWidth


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """Fields of the same names in LanguageModelImportResult."""

    model_type: str
    architecture: str
    layers: int
    d_model: int
    d_mlp: int
    heads: int
    vocab_size: int
    max_context: int
    parameters: int
    linear_parameters: int
    kv_width: int
    dtype: str
    hook_sites: tuple[HookSiteWidth, ...]
    modules: tuple[dict[str, Any], ...]
    tied_embeddings: bool
    nf4_misfit: str


def model_describe(model: PreTrainedModel) -> ModelDescription:
    """Describe `model`; runs a few tokens through it to find its hook sites. Numbers the configuration lacks are 0."""
    config, wiring = model.config.get_text_config(), model_wiring(model)
    embeddings, output = model.get_input_embeddings(), model.get_output_embeddings()
    return ModelDescription(
        model_type=model.config.model_type,
        architecture=type(model).__name__,
        layers=len(wiring),
        d_model=wiring[0].block.width,
        d_mlp=max(block.d_mlp for block in wiring),
        heads=getattr(config, "num_attention_heads", 0),
        vocab_size=embeddings.weight.shape[0],
        max_context=longest_context(model.config) or 0,
        parameters=parameters_of(model),
        linear_parameters=linear_parameters(model),
        kv_width=kv_width(model),
        dtype=str(model.dtype).removeprefix("torch."),
        hook_sites=hook_sites(model),
        modules=module_rows(model),
        tied_embeddings=output is not None and output.weight is embeddings.weight,
        nf4_misfit=nf4_misfit(model),
    )


def module_rows(model: nn.Module) -> tuple[dict[str, Any], ...]:
    """The tree depth first, the model itself at depth 0: every module with parameters or children.

    `parameters` counts the module with all below it, shared weights once; `shape` is that of its own weight, if any, and
    `tied_to` the path of an earlier module that has the same weight, such as the embedding of an output head.
    """
    rows = []
    owners: dict[int, str] = {}
    for path, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if not any(True for _ in module.children()) and not any(True for _ in module.parameters(recurse=False)):
            continue
        owner = owners.setdefault(id(weight), path) if isinstance(weight, nn.Parameter) else path
        rows.append(
            {
                "path": path,
                "class": type(module).__name__,
                "parameters": parameters_of(module),
                "shape": list(weight.shape) if isinstance(weight, nn.Parameter) else [],
                "depth": path.count(".") + 1 if path else 0,
                "tied_to": owner if owner != path else "",
            }
        )
    return tuple(rows)
