"""Presets and jobs that tests of presets share."""

from apps.jobs.models import Job
from apps.jobs.services import job_enqueue
from apps.presets.models import Preset
from apps.presets.services import preset_create
from tests.apps.prepared import make_cache
from workers.engine.specs.training import TrainSpec

WIDE = {"architecture": "topk", "d_sae": 999, "k": 32}
PROMPT = {"user_prompt": "Name this: {examples_block}"}


def make_preset(name: str = "wide", kind: str = "training", options: dict | None = None, **values) -> Preset:
    """A preset of one's own."""
    return preset_create(kind=kind, name=name, options=WIDE if options is None else options, **values)


def make_training_job(**options) -> Job:
    """A queued job that trains with these options."""
    return job_enqueue(spec=TrainSpec(activation_cache=make_cache().pk, **options))
