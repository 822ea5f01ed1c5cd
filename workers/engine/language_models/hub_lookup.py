"""What a language model on the Hub is, before any weight is downloaded: configuration and file list are enough.

The configuration is built into a model on device "meta", which has shapes but no storage; weights are counted there.
Whatever an import would refuse is refused here already, in the same words.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from huggingface_hub import hf_hub_download
from transformers import PretrainedConfig, PreTrainedModel

from workers.engine.hooks.wiring import decoder_blocks
from workers.engine.hub import hub_errors
from workers.engine.language_models.context_fit import longest_context
from workers.engine.language_models.hub_download import HubModel, hub_model
from workers.engine.language_models.model_files import decoder_only_check
from workers.engine.language_models.packing import nf4_misfit
from workers.engine.language_models.sizes import (
    hidden_width,
    kv_width,
    linear_parameters,
    model_without_weights,
    parameters_of,
)
from workers.engine.progress import Progress
from workers.engine.specs.hub_ids import hub_id
from workers.engine.specs.language_models import (
    LanguageModelLookupInputs,
    LanguageModelLookupResult,
    LanguageModelLookupSpec,
)


def language_model_lookup(
    spec: LanguageModelLookupSpec, inputs: LanguageModelLookupInputs, progress: Progress
) -> LanguageModelLookupResult:
    """Ask the Hub, download config.json alone, count. Raises EngineError with the codes of hub_download.py."""
    repo_id = hub_id(spec.repo_id)
    progress.phase("Asking the Hub")
    with hub_errors(repo_id, "language model"), TemporaryDirectory(dir=inputs.out_dir) as folder:
        found = hub_model(repo_id, spec.revision)
        hf_hub_download(repo_id, "config.json", revision=found.revision, local_dir=folder)
        config = decoder_only_check(Path(folder))
    progress.phase("Counting weights")
    return _counted(found, config, model_without_weights(config))


def _counted(found: HubModel, config: PretrainedConfig, model: PreTrainedModel) -> LanguageModelLookupResult:
    text = config.get_text_config(decoder=True)
    embeddings = model.get_input_embeddings().weight
    return LanguageModelLookupResult(
        repo_id=found.repo_id,
        revision=found.revision,
        licence=found.licence,
        gated=found.gated,
        bytes=sum(found.sizes.values()),
        model_type=config.model_type,
        architecture=type(model).__name__,
        layers=len(decoder_blocks(model)[1]),
        d_model=getattr(text, "hidden_size", embeddings.shape[1]),
        d_mlp=hidden_width(model),
        vocab_size=embeddings.shape[0],
        max_context=longest_context(config) or 0,
        parameters=parameters_of(model),
        linear_parameters=linear_parameters(model),
        kv_width=kv_width(model),
        nf4_misfit=nf4_misfit(model),
        dtype=str(config.dtype or torch.float32).removeprefix("torch."),
    )
