"""Training runs: paths and provenance before, chart points and checkpoints meanwhile, an SAE after.

A finished run loses its checkpoints: they only serve to go on. Those of a failed try move to its retry, those of a
cancelled one go.
"""

import math
from pathlib import Path
from typing import Any

from django.db import transaction

from apps.activations.models import ActivationCache
from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.live.topics import SAES, topic
from apps.core.storage import artifact_place, artifact_remove, data_path, relative
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_selectors import begins_with_first_token
from apps.jobs.models import Job
from apps.jobs.services import event_write, subject_ready
from apps.jobs.states import Wish
from apps.language_models.models import LanguageModel
from apps.saes.models import Sae
from apps.saes.services import evaluation_start
from apps.training.models import Checkpoint, MetricPoint, RunMember, TrainingRun
from apps.training.origins import Origin, cache_that_fits, origin_of
from apps.training.services import member_name
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.saes import EvaluateSpec
from workers.engine.specs.training import TrainedSae, TrainInputs, TrainResult, TrainSpec
from workers.engine.specs.training_memory import training_memory
from workers.runners.base import Runner, folder_take_over
from workers.runners.lm_memory import held_as, lm_weights_bytes

CHECKPOINTS = "checkpoints"
"""Where the engine keeps them, below the job's folder."""
LATEST = ("loss", "fvu", "l0", "dead_share")
"""Values of the newest point that lists show and sort by."""


class TrainRunner(Runner):
    spec = TrainSpec
    inputs = TrainInputs
    result = TrainResult

    def prepare(self, job: Job, spec: TrainSpec, where: dict[str, str]) -> TrainInputs:
        run = self.subject(job)
        origin = origin_of(spec)
        with transaction.atomic():
            _checkpoints_take_over(run, job)
            newest = run.checkpoints.first()
            MetricPoint.objects.filter(member__run=run, step__gt=newest.step if newest else 0).delete()
            cache = origin.cache or _cache_chosen(run, job, spec, origin)
        return TrainInputs(
            **where,
            cache_dir=str(data_path("activations", cache.pk)) if cache else "",
            hook_site=cache.hook_site if cache else "",
            sink_threshold=cache.sink_threshold if cache else None,
            model_dir=str(data_path("models", origin.language_model.pk)),
            quantization=held_as(origin.language_model),
            tokenization_dirs=tuple(str(data_path("tokenizations", text.pk)) for text in origin.tokenizations),
            provenance=provenance_of(origin, cache),
        )

    def memory_bytes(self, spec: TrainSpec) -> int:
        """The SAEs, and the language model where it runs along or measures CE at checkpoints."""
        origin = origin_of(spec)
        needs_lm = spec.source == "text" or spec.ce_contexts > 0
        lm = lm_weights_bytes(origin.language_model, spec.lm_dtype) if needs_lm else 0
        return training_memory(spec, origin.widths).total_bytes + lm

    def metrics(self, job: Job, points: list[dict[str, Any]]) -> None:
        """Points of steps that a resumed run repeats replace the old ones."""
        run = self.subject(job)
        members = {member.index: member for member in run.members.all()}
        newest: dict[int, tuple[int, dict[str, Any]]] = {}
        rows: dict[tuple[int, int], MetricPoint] = {}
        for point in points:
            index, step, values = point["member"], point["step"], _finite(point["values"])
            rows[index, step] = MetricPoint(member=members[index], step=step, values=values)
            newest[index] = max(newest.get(index, (0, {})), (step, values), key=lambda pair: pair[0])
        MetricPoint.objects.bulk_create(
            rows.values(), update_conflicts=True, update_fields=["values"], unique_fields=["member", "step"]
        )
        for index, (step, values) in newest.items():
            latest = {name: values.get(name) for name in LATEST}
            RunMember.objects.filter(pk=members[index].pk).update(**latest)
            if index == 0:
                own = latest | {"tokens_per_s": values.get("tokens_per_s")}
                TrainingRun.objects.filter(pk=run.pk).update(step=step, **own)

    def checkpoint(self, job: Job, line: dict[str, Any]) -> None:
        run = self.subject(job)
        folder = data_path("jobs", job.pk) / line["path"]
        values = {index: _finite(own) for index, own in line["values"].items()}
        Checkpoint.objects.update_or_create(
            run=run,
            step=line["step"],
            defaults={"path": relative(folder), "bytes": line["bytes"], "values": values},
        )
        for index, own in values.items():
            if own.get("ce_recovered") is not None:
                run.members.filter(index=int(index)).update(ce_recovered=own["ce_recovered"])
        _rows_without_folder_delete(run)

    def finish(self, job: Job, spec: TrainSpec, result: TrainResult, out_dir: str) -> None:
        """Each member's folder becomes saes/<id>, its row tells what it is, and an evaluation on the held-out documents
        of the same tokenization is queued as a job of its own, behind waiting trainings: every SAE gets its numbers."""
        run = self.subject(job)
        members = {member.index: member for member in run.members.all()}
        saes = []
        for trained in result.saes:
            member = members[trained.member]
            sae = _sae_create(run, member, trained)
            artifact_place(Path(out_dir) / trained.folder, data_path("saes", sae.pk))
            for name in LATEST:
                setattr(member, name, getattr(trained, name))
            member.save(update_fields=LATEST)
            saes.append(sae)
        _checkpoints_remove(run)
        first = result.saes[0]
        run.step, run.loss, run.fvu, run.l0 = result.steps, first.loss, first.fvu, first.l0
        run.dead_share, run.tokens_per_s = first.dead_share, result.tokens_per_s
        run.report = result.to_json()
        subject_ready(run)
        for sae in saes:
            publish(topic(SAES, sae.pk))
            _evaluation_queue(job, sae, result.tokens, spec.device)

    def discard(self, job: Job) -> None:
        """A cancelled run keeps its charts but no checkpoints; a failed one keeps both: its retry goes on from them."""
        job.refresh_from_db(fields=["wish"])
        if job.wish == Wish.CANCEL:
            _checkpoints_remove(self.subject(job))


def _cache_chosen(run: TrainingRun, job: Job, spec: TrainSpec, origin: Origin) -> ActivationCache | None:
    """The cache that a training on text reads instead, chosen before its first step and kept for all its attempts."""
    if run.activation_cache_id is None and not run.checkpoints.exists():
        run.activation_cache = cache_that_fits(spec, origin)
        if run.activation_cache is not None:
            run.save(update_fields=["activation_cache"])
            cache = run.activation_cache
            event_write(job, f"Activation cache {cache.pk} ({cache}) holds these activations: it is read instead.")
    return run.activation_cache


def provenance_of(origin: Origin, cache: ActivationCache | None) -> dict[str, Any]:
    """What the rows know of the data, down to hashes. The flat keys go to SAELens' cfg.json under the same names;
    hf_hook_names has the module of each hook site."""
    lm, first = origin.language_model, origin.tokenizations[0]
    modules = {str(site): _module(lm, site) for site in origin.hook_sites}
    return {
        "model_name": public_name(lm),
        "model_class_name": "AutoModelForCausalLM",
        "hf_hook_name": modules[str(origin.hook_sites[0])],
        "hf_hook_names": modules,
        "context_size": first.context_length,
        "prepend_bos": begins_with_first_token(first),
        "dataset_path": ", ".join(public_name(text.dataset) for text in origin.tokenizations),
        **_text_provenance(first),
        "more_texts": [_text_provenance(text) for text in origin.tokenizations[1:]],
        "language_model": {
            "name": public_name(lm),
            "revision": lm.revision,
            "weights_sha256": lm.weights_sha256,
            "quantization": cache.report.get("quantization", "") if cache else lm.quantization,
        },
        "activation_cache": _cache_provenance(cache) if cache else None,
    }


def _module(lm: LanguageModel, site: HookSite) -> str:
    """The module whose input or output the hook site is, by its name in Transformers; "" when none is known."""
    there = {"layer": site.layer, "site": site.site}
    modules = [row["module"] for row in lm.report.get("hook_sites", ()) if there.items() <= row.items()]
    return modules[0].rsplit(" ", 1)[0] if modules else ""


def _text_provenance(tokenization: Tokenization) -> dict[str, Any]:
    dataset = tokenization.dataset
    return {
        "dataset": {"name": dataset.name, "content_sha256": dataset.content_sha256},
        "tokenization": {
            "context_length": tokenization.context_length,
            "tokens_sha256": tokenization.tokens_sha256,
            "tokenizer_sha256": tokenization.tokenizer_sha256,
        },
    }


def _cache_provenance(cache: ActivationCache) -> dict[str, Any]:
    job = cache.job
    return {
        "tokens": cache.tokens,
        "activations_sha256": cache.report.get("activations_sha256", ""),
        "spec": job.spec if job else {},
    }


def public_name(row: Any) -> str:
    """The repository id of what came from the Hub; else the name: paths of this machine never leave it."""
    return row.origin if row.source == "hub" else row.name


def _checkpoints_take_over(run: TrainingRun, job: Job) -> None:
    """Move the checkpoints of a failed earlier try below this job, and forget those of a cancelled one."""
    moved = folder_take_over(run, job, CHECKPOINTS)
    if moved is not None:
        source, target = map(relative, moved)
        for row in run.checkpoints.all():
            row.path = row.path.replace(source, target, 1)
            row.save(update_fields=["path"])
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


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: None stands for them. Histograms, lists of counts, pass through."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }


def _sae_create(run: TrainingRun, member: RunMember, trained: TrainedSae) -> Sae:
    encode = trained.encode
    return Sae.objects.create(
        name=member_name(run, member),
        source=Sae.Source.TRAINED,
        training_run=run,
        member=member,
        language_model=run.language_model,
        tokenization=run.tokenization,
        layer=encode.hook_site.layer,
        site=encode.hook_site.site,
        architecture=encode.architecture,
        d_in=encode.d_in,
        d_sae=encode.d_sae,
        encode=encode.to_json(),
        bytes=trained.bytes,
        weights_sha256=trained.weights_sha256,
    )


def _evaluation_queue(job: Job, sae: Sae, trained_on: int, device: str) -> None:
    """Measured on no more tokens than it was trained on: a small run shall not wait for a large evaluation."""
    cache = sae.training_run.activation_cache
    seen = min(trained_on, cache.tokens) if cache else trained_on
    spec = EvaluateSpec(
        sae=sae.pk,
        tokenization=sae.tokenization_id,
        max_tokens=max(1_000, min(EvaluateSpec.max_tokens, seen)),
        ce_tokens=max(1_000, min(EvaluateSpec.ce_tokens, seen // 8)),
        device=device,
    )
    try:
        evaluation_start(spec=spec, user=job.created_by)
    except AppError as error:
        event_write(job, f"No evaluation was queued: {error.message}", level="warning")
