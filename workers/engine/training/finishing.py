"""The end of a training run: fold what can be folded, write the SAE folder, say what it is.

The folder holds cfg.json, sae_weights.safetensors, sparsity.safetensors (SAELens), encode.json and provenance.json.
"""

from pathlib import Path
from typing import Any

from workers.engine.formats.saelens import WEIGHTS, sae_write
from workers.engine.metrics import log10_density
from workers.engine.provenance import provenance_record, provenance_write, sha256_of
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainInputs, TrainResult, TrainSpec
from workers.engine.training.trainer import Trainer

METADATA_KEYS = ("model_name", "hf_hook_name", "context_size", "prepend_bos", "dataset_path")
"""Keys of TrainInputs.provenance that go to cfg.json under the same name, as SAELens knows them."""


def sae_finish(
    trainer: Trainer,
    spec: TrainSpec,
    inputs: TrainInputs,
    *,
    factor: float,
    metrics: dict[str, float],
    seconds: float,
    finished_early: bool,
) -> TrainResult:
    """Write the finished SAE into `inputs.out_dir`; `factor` is the one that training multiplied activations by."""
    out = Path(inputs.out_dir)
    sae = trainer.sae.finished(factor, HookSite.parse(inputs.hook_site), inputs.sink_threshold)
    sae_write(
        sae,
        out,
        metadata=_metadata(spec, inputs.provenance or {}, metrics),
        log10_density=log10_density(*trainer.firing.recent()),
    )
    weights_sha256 = sha256_of(out / WEIGHTS)
    record = provenance_record(
        spec,
        device=inputs.device,
        inputs=inputs.provenance,
        matmul_dtype=str(trainer.sae.matmul_dtype).removeprefix("torch."),
        normalization_factor=factor,
        steps=trainer.steps_done,
        weights_sha256=weights_sha256,
    )
    provenance_write(out, record)
    return TrainResult(
        encode=sae.encode_spec,
        steps=trainer.steps_done,
        tokens=trainer.tokens_seen,
        loss=metrics["loss"],
        fvu=metrics["fvu"],
        l0=metrics["l0"],
        dead_share=metrics["dead_share"],
        seconds=seconds,
        tokens_per_s=trainer.tokens_seen / max(seconds, 1e-9),
        bytes=sum(path.stat().st_size for path in out.iterdir()),
        finished_early=finished_early,
        weights_sha256=weights_sha256,
    )


def _metadata(spec: TrainSpec, known: dict[str, Any], metrics: dict[str, float]) -> dict[str, Any]:
    """cfg.json's metadata: where the SAE belongs, how it was trained, its last L0."""
    return {key: known[key] for key in METADATA_KEYS if key in known} | {
        "training_architecture": spec.architecture,
        "l0": metrics["l0"],
        "num_dead_features": round(metrics["dead_share"] * spec.d_sae),
    }
