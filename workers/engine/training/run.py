"""One training run in progress: its SAEs, the stream they share, its checkpoints, and how it is taken up again.

A checkpoint has a file for each SAE, one for the source of activations, and state.json (checkpoints.py). What the Spec
leaves open, or memory forced to be otherwise, is `effective`: it stands in every checkpoint, and a resumed run goes on with it.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from workers.engine.precision import matmul_dtype_for
from workers.engine.progress import Progress
from workers.engine.saes.sae import Sae
from workers.engine.saes.sparse_rows import TORCH_ROWS, SparseRows, rows_for
from workers.engine.specs.base import spec_load
from workers.engine.specs.errors import EngineError
from workers.engine.specs.training import Member, TrainInputs, TrainSpec
from workers.engine.training.checkpoints import Checkpoint, checkpoint_latest, checkpoint_write
from workers.engine.training.faults import RowWatch, activations_not_finite, check_finite
from workers.engine.training.micro_batches import SMALLEST, chooses_within_pieces
from workers.engine.training.sources import SiteActivations, Source
from workers.engine.training.trainer import Trainer

SOURCE_FILE = "source"
CHANGEABLE = ("micro_batch_size", "matmul_dtype", "sparse_rows")
"""Of `effective`, what a resumed run takes from its checkpoint instead of comparing it."""


MEAN_IS_LONG = (1 / 3) ** 0.5


@dataclass
class Run:
    """What changes while a training goes on. Member i trains `trainers[i]` on `source.sites[site_of[i]]`."""

    spec: TrainSpec
    inputs: TrainInputs
    progress: Progress
    source: Source
    members: tuple[Member, ...]
    site_of: tuple[int, ...]
    trainers: tuple[Trainer, ...]
    watches: tuple[RowWatch, ...]
    micro_batch_size: int
    steps_done: int = 0
    last_metrics: list[dict[str, Any]] = field(default_factory=list)
    """The newest point of the charts, for each member."""
    seconds_before: float = 0.0
    """Spent by earlier attempts."""
    started: float = field(default_factory=time.monotonic)

    @property
    def checkpoints(self) -> Path:
        return Path(self.inputs.job_dir) / "checkpoints"

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def site(self, member: Member) -> SiteActivations:
        return self.source.sites[self.site_of[member.index]]

    def sae(self, member: Member) -> Sae:
        """The member as it would be finished now, on the CPU."""
        site, trainer = self.site(member), self.trainers[member.index]
        sae = trainer.sae.finished(
            site.factor,
            site.hook_site,
            site.sink_threshold,
            target_factor=site.target_factor,
            weights=trainer.averaged_weights(),
        )
        return replace(sae, encode_spec=replace(sae.encode_spec, excluded_tokens=site.excluded_tokens))

    def effective(self) -> dict[str, Any]:
        """What the Spec leaves open, as JSON values."""
        own = {
            "micro_batch_size": self.micro_batch_size,
            "matmul_dtype": str(self.trainers[0].sae.matmul_dtype).removeprefix("torch."),
            "sparse_rows": self.trainers[0].sae.rows.NAME,
            "b_dec_starts_at_mean": [starts_at_mean(member.spec, self.site(member)) for member in self.members],
        }
        return json.loads(json.dumps(own | self.source.effective()))

    def check_finite(self) -> None:
        """Raise when a step met or made numbers that are not finite."""
        check_finite(self.source, self.watches, self.members, self.trainers, self.checkpoints)

    def checkpoint(self) -> None:
        """Write a checkpoint of this step; its values are each member's newest metrics."""
        self.check_finite()
        files = {member.key: trainer.tensors() for member, trainer in zip(self.members, self.trainers)}
        files[SOURCE_FILE] = self.source.tensors()
        state = {
            "spec": self.spec.to_json(),
            "effective": self.effective(),
            "metrics": self.last_metrics,
            "seconds": self.seconds,
        }
        folder, size = checkpoint_write(
            self.checkpoints, self.steps_done, files, state, keep=self.spec.keep_checkpoints
        )
        values = {str(index): metrics for index, metrics in enumerate(self.last_metrics)}
        self.progress.checkpoint(self.steps_done, str(folder.relative_to(self.inputs.job_dir)), size, **values)

    def halve_micro_batch(self) -> None:
        """After memory ran out: smaller pieces from now on, the same batch."""
        self.micro_batch_size = max(SMALLEST, self.micro_batch_size // 2)
        if self.inputs.device.startswith("cuda"):
            torch.cuda.empty_cache()
        within = chooses_within_pieces(self.spec)
        self.progress.event(
            f"Memory ran out at step {self.steps_done + 1}: each batch of {self.spec.batch_size} tokens is now worked "
            f"through in pieces of {self.micro_batch_size}, and their gradients are averaged"
            f"{f'; {within}' if within else ''}.",
            level="warning",
        )


def run_open(spec: TrainSpec, inputs: TrainInputs, progress: Progress, source: Source) -> Run:
    """A run at its beginning, or where its newest whole checkpoint left it.

    Raises EngineError when that checkpoint was made with other settings (which it names), or when the activations are not
    finite.
    """
    members = spec.members()
    site_of = tuple(_site_of(member, source) for member in members)
    dtype = matmul_dtype_for(inputs.device)
    trainers = tuple(
        Trainer(
            member.spec,
            source.sites[site].d_in,
            source.sites[site].d_out,
            device=inputs.device,
            matmul_dtype=dtype,
        )
        for member, site in zip(members, site_of)
    )
    run = Run(
        spec=spec,
        inputs=inputs,
        progress=progress,
        source=source,
        members=members,
        site_of=site_of,
        trainers=trainers,
        watches=tuple(RowWatch(inputs.device) for _ in source.sites),
        micro_batch_size=min(spec.micro_batch_size or spec.batch_size, spec.batch_size),
        last_metrics=[{} for _ in members],
    )
    found = checkpoint_latest(run.checkpoints)
    if found is None:
        _begin(run)
    else:
        _resume(run, found)
    return run


def _site_of(member: Member, source: Source) -> int:
    """Index of the member's hook site; a cache has one and the Spec need not name it."""
    if member.hook_site is None:
        return 0
    return [site.hook_site for site in source.sites].index(member.hook_site)


def _begin(run: Run) -> None:
    """Put each b_dec where it starts; a mean that is not finite tells of broken activations before the first step."""
    for site in run.source.sites:
        if not (site.mean_D.isfinite().all() and site.target_mean_E.isfinite().all()):
            raise activations_not_finite(f"The activations at {site.hook_site} hold NaN or infinity.", run.checkpoints)
    for member, trainer in zip(run.members, run.trainers):
        site = run.site(member)
        if starts_at_mean(member.spec, site):
            trainer.sae.center(site.mean_D, site.target_mean_E)


def starts_at_mean(spec: TrainSpec, site: SiteActivations) -> bool:
    """Whether b_dec starts at the mean of the activations rather than at 0: `b_dec_start`; "auto" does so for every transcoder,
    and where the mean's length is at least MEAN_IS_LONG of the mean length, that is its square half of the variance."""
    if spec.b_dec_start != "auto":
        return spec.b_dec_start == "mean"
    return spec.is_transcoder or site.mean_D.norm().item() >= MEAN_IS_LONG * site.mean_norm


def _resume(run: Run, found: Checkpoint) -> None:
    """Load `found` after checking that it belongs to this run."""
    effective = found.state["effective"]
    dtype, rows = getattr(torch, effective["matmul_dtype"]), _recorded_rows(run, found)
    if different := [*_other_settings(run, found), *_other_effects(run, found)]:
        raise EngineError(
            f"The checkpoint of step {found.step} was made with other settings or other activations: {', '.join(different)}.",
            "Start a new run for new settings; a run resumes only as it was begun.",
        )
    for member, trainer in zip(run.members, run.trainers):
        trainer.sae.matmul_dtype, trainer.sae.rows = dtype, rows
        trainer.load(found.files[member.key], found.step)
    run.source.load(found.files[SOURCE_FILE], found.step)
    run.steps_done, run.micro_batch_size = found.step, effective["micro_batch_size"]
    run.last_metrics, run.seconds_before = found.state["metrics"], found.state["seconds"]
    run.progress.event(f"Resumed from the checkpoint of step {found.step}.")


def _other_settings(run: Run, found: Checkpoint) -> list[str]:
    """Options that the checkpoint has otherwise, as "learning_rate (0.0003, now 0.5)". Those that its version did not know
    yet have their defaults. SpecTooNew when a newer version wrote it."""
    then = spec_load(TrainSpec, found.state["spec"])
    return _otherwise({name: getattr(then, name) for name in then.options()}, vars(run.spec))


def _other_effects(run: Run, found: Checkpoint) -> list[str]:
    """The same of what is recorded as effective; what either version does not record says nothing."""
    then = {name: value for name, value in found.state["effective"].items() if name not in CHANGEABLE}
    return _otherwise(then, run.effective())


def _otherwise(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [f"{name} ({value}, now {now[name]})" for name, value in then.items() if name in now and now[name] != value]


def _recorded_rows(run: Run, found: Checkpoint) -> SparseRows:
    """The way of working on rows that the run began with: another would give other bits."""
    # checkpoints from before there was a choice name none
    name = found.state["effective"].get("sparse_rows", TORCH_ROWS.NAME)
    try:
        return rows_for(run.inputs.device, name)
    except ImportError as error:
        raise EngineError(
            f"The run began with kernels of {name}, which is not installed here.",
            f"Install {name} (pip install -e '.[fast]') and resume, or start a new run.",
        ) from error
