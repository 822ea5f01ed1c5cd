"""Training runs: paths and provenance before, chart points and checkpoints meanwhile, an SAE after.

A finished run loses its checkpoints: they only serve to go on. Those of a failed try move to its retry, those of a
cancelled one go.
"""

import math
import shutil
from pathlib import Path
from typing import Any

from django.db import transaction

from apps.activations.models import ActivationCache
from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.live.topics import SAES, topic
from apps.core.storage import artifact_place, artifact_remove, data_path, relative
from apps.jobs.models import Job
from apps.jobs.services import event_write, subject_ready
from apps.jobs.states import State, Wish
from apps.saes.models import Sae
from apps.saes.services import evaluation_start
from apps.training.estimates import training_bytes
from apps.training.models import Checkpoint, MetricPoint, TrainingRun
from workers.engine.specs.saes import EvaluateSpec
from workers.engine.specs.training import TrainInputs, TrainResult, TrainSpec
from workers.runners.base import Runner

CHECKPOINTS = "checkpoints"
"""Where the engine keeps them, below the job's folder."""
LATEST = ("loss", "fvu", "l0", "dead_share", "tokens_per_s")
"""Values of the newest point that lists show and sort by."""


class TrainRunner(Runner):
    spec = TrainSpec
    inputs = TrainInputs
    result = TrainResult

    def prepare(self, job: Job, spec: TrainSpec, where: dict[str, str]) -> TrainInputs:
        run = self.subject(job)
        cache = _cache_of(spec)
        with transaction.atomic():
            _checkpoints_take_over(run, job)
            newest = run.checkpoints.first()
            run.metric_points.filter(step__gt=newest.step if newest else 0).delete()
        return TrainInputs(
            **where,
            cache_dir=str(data_path("activations", cache.pk)),
            hook_site=cache.hook_site,
            sink_threshold=cache.sink_threshold,
            provenance=provenance_of(cache),
        )

    def memory_bytes(self, spec: TrainSpec) -> int:
        return training_bytes(spec, _cache_of(spec).d_in)

    def metrics(self, job: Job, points: list[dict[str, Any]]) -> None:
        """Points of steps that a resumed run repeats replace the old ones."""
        run = self.subject(job)
        by_step = {point["step"]: _finite(point["values"]) for point in points}
        MetricPoint.objects.bulk_create(
            [MetricPoint(run=run, step=step, values=values) for step, values in by_step.items()],
            update_conflicts=True,
            update_fields=["values"],
            unique_fields=["run", "step"],
        )
        step = max(by_step)
        latest = {name: by_step[step].get(name) for name in LATEST}
        TrainingRun.objects.filter(pk=run.pk).update(step=step, **latest)

    def checkpoint(self, job: Job, line: dict[str, Any]) -> None:
        run = self.subject(job)
        folder = data_path("jobs", job.pk) / line["path"]
        Checkpoint.objects.update_or_create(
            run=run,
            step=line["step"],
            defaults={"path": relative(folder), "bytes": line["bytes"], "values": _finite(line["values"])},
        )
        _rows_without_folder_delete(run)

    def finish(self, job: Job, spec: TrainSpec, result: TrainResult, out_dir: str) -> None:
        """The folder becomes saes/<id>, the row tells what it is, and an evaluation on the held-out documents of the
        same tokenization is queued as a job of its own, behind waiting trainings: every SAE gets its numbers."""
        run = self.subject(job)
        sae = _sae_create(run, result)
        artifact_place(Path(out_dir), data_path("saes", sae.pk))
        _checkpoints_remove(run)
        run.step, run.loss, run.fvu, run.l0 = result.steps, result.loss, result.fvu, result.l0
        run.dead_share, run.tokens_per_s = result.dead_share, result.tokens_per_s
        run.report = result.to_json()
        subject_ready(run)
        publish(topic(SAES, sae.pk))
        _evaluation_queue(job, sae, spec.device)

    def discard(self, job: Job) -> None:
        """A cancelled run keeps its charts but no checkpoints; a failed one keeps both: its retry goes on from them."""
        job.refresh_from_db(fields=["wish"])
        if job.wish == Wish.CANCEL:
            _checkpoints_remove(self.subject(job))


def _cache_of(spec: TrainSpec) -> ActivationCache:
    caches = ActivationCache.objects.select_related("tokenization__dataset", "language_model")
    cache = caches.filter(pk=spec.activation_cache, ready_at__isnull=False).first()
    if cache is None:
        raise AppError(
            "cache_gone", f"Activation cache {spec.activation_cache} is gone or not ready.", "Start a run on another."
        )
    return cache


def provenance_of(cache: ActivationCache) -> dict[str, Any]:
    """What the rows know of the data, down to hashes. The flat keys go to SAELens' cfg.json under the same names."""
    tokenization, lm = cache.tokenization, cache.language_model
    dataset = tokenization.dataset
    site = {"layer": cache.layer, "site": cache.site}
    modules = [row["module"] for row in lm.report.get("hook_sites", ()) if site.items() <= row.items()]
    cache_job = cache.job
    return {
        "model_name": public_name(lm),
        "model_class_name": "AutoModelForCausalLM",
        "hf_hook_name": modules[0].rsplit(" ", 1)[0] if modules else "",
        "context_size": tokenization.context_length,
        "prepend_bos": tokenization.report.get("bos_token_id") is not None,
        "dataset_path": public_name(dataset),
        "dataset": {"name": dataset.name, "content_sha256": dataset.content_sha256},
        "tokenization": {
            "context_length": tokenization.context_length,
            "tokens_sha256": tokenization.tokens_sha256,
            "tokenizer_sha256": tokenization.tokenizer_sha256,
        },
        "language_model": {
            "name": public_name(lm),
            "revision": lm.revision,
            "weights_sha256": lm.weights_sha256,
            "quantization": cache.report.get("quantization", ""),
        },
        "activation_cache": {
            "tokens": cache.tokens,
            "activations_sha256": cache.report.get("activations_sha256", ""),
            "spec": cache_job.spec if cache_job else {},
        },
    }


def public_name(row: Any) -> str:
    """The repository id of what came from the Hub; else the name: paths of this machine never leave it."""
    return row.origin if row.source == "hub" else row.name


def _checkpoints_take_over(run: TrainingRun, job: Job) -> None:
    """Move the checkpoints of a failed earlier try below this job, and forget those of a cancelled one."""
    earlier = run.jobs.filter(pk__lt=job.pk).first()
    if earlier is None:
        return
    source, target = data_path("jobs", earlier.pk, CHECKPOINTS), data_path("jobs", job.pk, CHECKPOINTS)
    if earlier.state == State.FAILED and source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        for row in run.checkpoints.all():
            row.path = row.path.replace(relative(source), relative(target), 1)
            row.save(update_fields=["path"])
    elif source.exists():
        artifact_remove(source)
    _rows_without_folder_delete(run)


def _rows_without_folder_delete(run: TrainingRun) -> None:
    """The engine keeps the newest checkpoints only; rows follow."""
    for row in run.checkpoints.all():
        folder, _, rest = row.path.partition("/")
        if not data_path(folder, *rest.split("/")).exists():
            row.delete()


def _checkpoints_remove(run: TrainingRun) -> None:
    for pk in run.jobs.values_list("pk", flat=True):
        artifact_remove(data_path("jobs", pk, CHECKPOINTS))
    run.checkpoints.all().delete()


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN and no infinity: None stands for them."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _sae_create(run: TrainingRun, result: TrainResult) -> Sae:
    cache, encode = run.activation_cache, result.encode
    return Sae.objects.create(
        name=run.name,
        source=Sae.Source.TRAINED,
        training_run=run,
        language_model=cache.language_model,
        tokenization=cache.tokenization,
        layer=encode.hook_site.layer,
        site=encode.hook_site.site,
        architecture=encode.architecture,
        d_in=encode.d_in,
        d_sae=encode.d_sae,
        encode=encode.to_json(),
        bytes=result.bytes,
        weights_sha256=result.weights_sha256,
    )


def _evaluation_queue(job: Job, sae: Sae, device: str) -> None:
    """Measured on no more tokens than it was trained on: a small run shall not wait for a large evaluation."""
    trained_on = sae.training_run.activation_cache.tokens
    spec = EvaluateSpec(
        sae=sae.pk,
        tokenization=sae.tokenization_id,
        max_tokens=max(1_000, min(EvaluateSpec.max_tokens, trained_on)),
        ce_tokens=max(1_000, min(EvaluateSpec.ce_tokens, trained_on // 8)),
        device=device,
    )
    try:
        evaluation_start(spec=spec, user=job.created_by)
    except AppError as error:
        event_write(job, f"No evaluation was queued: {error.message}", level="warning")
