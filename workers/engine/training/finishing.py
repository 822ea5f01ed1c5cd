"""The end of a training run: calibrate, fold what can be folded, write each SAE's folder, say what it is.

A folder holds cfg.json, sae_weights.safetensors, sparsity.safetensors (SAELens), encode.json and provenance.json.
"""

from pathlib import Path
from typing import Any

from workers.engine.formats.saelens import WEIGHTS, sae_write
from workers.engine.metrics import l0, log10_density
from workers.engine.provenance import provenance_record, provenance_write, sha256_of
from workers.engine.saes.base import TrainingSae
from workers.engine.specs.training import Member, TrainedSae, TrainResult
from workers.engine.training.run import Run

METADATA_KEYS = ("model_name", "hf_hook_name", "context_size", "prepend_bos", "dataset_path")
"""Keys of TrainInputs.provenance that go to cfg.json under the same name, as SAELens knows them; hf_hook_names, by hook site,
goes before hf_hook_name."""


def saes_finish(run: Run, *, finished_early: bool) -> TrainResult:
    """Write every SAE of the run below its out_dir; the run ends here."""
    if run.spec.weight_average_decay is not None:
        run.progress.event(f"The SAEs get {_weights_said(run)}.")
    tokens = run.steps_done * run.spec.batch_size
    return TrainResult(
        saes=tuple(_finish(run, member) for member in run.members),
        steps=run.steps_done,
        tokens=tokens,
        epochs=run.source.epochs(run.steps_done),
        seconds=run.seconds,
        tokens_per_s=tokens / max(run.seconds, 1e-9),
        finished_early=finished_early,
        effective=run.effective(),
    )


def _finish(run: Run, member: Member) -> TrainedSae:
    """Write one SAE into its own folder."""
    trainer, metrics = run.trainers[member.index], run.last_metrics[member.index]
    if (average := trainer.averaged_weights()) is not None:
        # the last checkpoint keeps the weights that training would go on from
        trainer.sae.weights.copy_(average)
    calibrated_l0 = _calibrate(run, member)
    sae = run.sae(member)
    out = Path(run.inputs.out_dir) / member.key
    sae_write(sae, out, metadata=_metadata(run, member, metrics), log10_density=log10_density(*trainer.firing.recent()))
    weights_sha256 = sha256_of(out / WEIGHTS)
    _provenance(run, member, weights_sha256)
    return TrainedSae(
        member=member.index,
        folder=member.key,
        encode=sae.encode_spec,
        loss=metrics["loss"],
        fvu=metrics["fvu"],
        l0=metrics["l0"],
        dead_share=metrics["dead_share"],
        bytes=sum(path.stat().st_size for path in out.iterdir()),
        weights_sha256=weights_sha256,
        calibrated_l0=calibrated_l0,
    )


def _calibrate(run: Run, member: Member) -> float | None:
    """Fix thresholds on held-out activations; L0 with them, None for architectures that have none to fix."""
    sae = run.trainers[member.index].sae
    if type(sae).calibrate is TrainingSae.calibrate:
        return None
    held_out = run.source.held_out(run.site_of[member.index])
    if held_out is None:
        run.progress.event("No held-out activations: thresholds stay as training left them.", level="warning")
        return None
    sae.calibrate(held_out.x_BD)
    x_ND = held_out.x_BD.cpu() / run.site(member).factor
    return l0(run.sae(member).encode_sparse(x_ND).counts(), len(x_ND))


def _provenance(run: Run, member: Member, weights_sha256: str) -> None:
    own = {
        "normalization_factor": run.site(member).factor,
        "steps": run.steps_done,
        "weights": _weights_said(run),
        "weights_sha256": weights_sha256,
    }
    record = provenance_record(
        member.spec, device=run.inputs.device, inputs=run.inputs.provenance, **run.effective() | own
    )
    provenance_write(Path(run.inputs.out_dir) / member.key, record)


def _weights_said(run: Run) -> str:
    decay = run.spec.weight_average_decay
    return "the last weights" if decay is None else f"an exponential average of the weights, decay {decay}"


def _metadata(run: Run, member: Member, metrics: dict[str, Any]) -> dict[str, Any]:
    """cfg.json's metadata: where the SAE belongs, how it was trained, its last L0, and over how many of the last tokens of
    training its dead features and the densities of sparsity.safetensors were counted."""
    known = run.inputs.provenance or {}
    kept = {key: known[key] for key in METADATA_KEYS if key in known}
    site, modules = str(run.site(member).hook_site), known.get("hf_hook_names", {})
    if site in modules:
        kept["hf_hook_name"] = modules[site]
    return kept | {
        "training_architecture": run.spec.architecture,
        "l0": metrics["l0"],
        "num_dead_features": round(metrics["dead_share"] * member.spec.d_sae),
        "num_dead_features_tokens": member.spec.dead_after_tokens,
        "sparsity_tokens": run.trainers[member.index].firing.recent()[1],
    }
