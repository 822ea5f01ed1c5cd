"""Small worlds of rows for tests of training runs, SAEs and exports: no engine, no files but those a test asks for."""

from pathlib import Path

from django.utils import timezone

from apps.activations.models import ActivationCache
from apps.core.storage import data_path
from apps.datasets.models import Dataset, Tokenization
from apps.jobs.models import Job
from apps.jobs.states import State
from apps.language_models.models import LanguageModel
from apps.saes.models import Evaluation, Sae
from apps.training.models import TrainingRun
from apps.training.services import training_start
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.saes import EvaluateResult
from workers.engine.specs.training import TrainedSae, TrainResult, TrainSpec
from workers.runners.train import TrainRunner

D_IN, D_SAE = 16, 64
STEPS = 100


def cache_make(*, is_ready: bool = True, heldout_contexts: int = 10) -> ActivationCache:
    """A language model, a dataset, a tokenization and their cache at 3.resid_post."""
    now = timezone.now()
    lm = LanguageModel.objects.create(
        name="tiny",
        source="hub",
        origin="owner/tiny",
        revision="abc",
        vocab_size=100,
        layers=4,
        parameters=1000,
        tokenizer_sha256="t" * 64,
        weights_sha256="w" * 64,
        ready_at=now,
        report={
            "parameters": 1000,
            "d_model": D_IN,
            "vocab_size": 100,
            "dtype": "float32",
            "hook_sites": [_site(3, "resid_post"), _site(2, "resid_post"), _site(3, "mlp_in"), _site(3, "mlp_out")],
        },
    )
    dataset = Dataset.objects.create(
        name="stories", source="file", origin="/home/somebody/stories.txt", content_sha256="c" * 64, ready_at=now
    )
    tokenization = Tokenization.objects.create(
        dataset=dataset,
        language_model=lm,
        context_length=32,
        contexts=100,
        heldout_contexts=heldout_contexts,
        tokenizer_sha256="t" * 64,
        tokens_sha256="k" * 64,
        report={"bos_token_id": 1},
        ready_at=now,
    )
    return ActivationCache.objects.create(
        tokenization=tokenization,
        language_model=lm,
        layer=3,
        site="resid_post",
        tokens=3_000,
        d_in=D_IN,
        bytes=3_000 * D_IN * 2,
        sink_threshold=50.0,
        report={"activations_sha256": "a" * 64},
        ready_at=now if is_ready else None,
    )


def _site(layer: int, site: str) -> dict[str, object]:
    return {"layer": layer, "site": site, "width": D_IN, "module": f"model.layers.{layer} out"}


def text_spec_make(cache: ActivationCache, **changes: object) -> TrainSpec:
    """The same run on the text that the cache was made of, at the cache's hook site, a cache not looked for."""
    known = {"source": "text", "language_model": cache.language_model_id, "tokenization": cache.tokenization_id}
    known |= {"hook_sites": ("3.resid_post",), "use_cache": False, "architecture": "topk", "d_sae": D_SAE, "k": 4}
    return TrainSpec(**{**known, "steps": STEPS, "batch_size": 100, "log_every": 10, **changes})


def tokenization_more(cache: ActivationCache, **changes: object) -> Tokenization:
    """A second text, cut as the cache's was unless changes say otherwise."""
    first = cache.tokenization
    known = {name: getattr(first, name) for name in ("dataset", "language_model", "context_length", "contexts")}
    known |= {"tokenizer_sha256": first.tokenizer_sha256, "heldout_contexts": 10, "ready_at": timezone.now()}
    return Tokenization.objects.create(**{**known, **changes})


def spec_make(cache: ActivationCache, **changes: object) -> TrainSpec:
    """A small TopK run."""
    known = {"architecture": "topk", "d_sae": D_SAE, "k": 4, "steps": STEPS, "batch_size": 100, "log_every": 10}
    return TrainSpec(activation_cache=cache.pk, **{**known, **changes})


def run_make(cache: ActivationCache | None = None, **changes: object) -> TrainingRun:
    """A queued run."""
    return training_start(spec=spec_make(cache or cache_make(), **changes))


def state_set(job: Job, state: State, **values: object) -> None:
    """Put a job into a state without a supervisor; a start time comes with it."""
    Job.objects.filter(pk=job.pk).update(state=state, attempt=1, started_at=timezone.now(), **values)
    job.refresh_from_db()


def point(step: int, member: int = 0, **values: object) -> dict[str, object]:
    """One line of the engine's metrics."""
    known = {"loss": 100 / step, "mse": 90 / step, "aux": 10 / step, "l0": 4.0, "fvu": 10 / (step + 10)}
    more = {"dead_share": 0.1, "learning_rate": 3e-4, "tokens": step * 100, "tokens_per_s": 1000.0, "grad_norm": 1.0}
    more |= {"time_s": step / 10}
    return {"member": member, "step": step, "values": {**known, **more, **values}}


def checkpoint_write(job: Job, step: int) -> dict[str, object]:
    """A checkpoint's folder, and the line that tells of it."""
    path = f"checkpoints/step-{step:08d}"
    folder = data_path("jobs", job.pk) / path
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    return {"step": step, "path": path, "bytes": 2, "values": {"0": {"fvu": 0.3}}}


def result_make(members: int = 1, **changes: object) -> TrainResult:
    """What the engine returns for `spec_make`."""
    encode = EncodeSpec(
        architecture="topk", d_in=D_IN, d_sae=D_SAE, hook_site=HookSite(layer=3, site="resid_post"), k=4
    )
    measured = {"loss": 1.0, "fvu": 0.25, "l0": 4.0, "dead_share": 0.05, "bytes": 77, "weights_sha256": "f" * 64}
    saes = tuple(
        TrainedSae(member=index, folder=f"sae-{index:02d}", encode=encode, **measured) for index in range(members)
    )
    known = {"steps": STEPS, "tokens": 10_000, "epochs": 3.3, "seconds": 10.0, "tokens_per_s": 1000.0}
    return TrainResult(saes=saes, **{**known, **changes})


def draft_make(job: Job, members: int = 1) -> Path:
    """The out_dir of a finished training, with one file for each SAE."""
    draft = data_path("tmp", f"job-{job.pk}")
    for index in range(members):
        folder = draft / f"sae-{index:02d}"
        folder.mkdir(parents=True)
        (folder / "cfg.json").write_text("{}")
    return draft


def run_finish(run: TrainingRun) -> Sae:
    """Finish a run as its runner does; the job has succeeded."""
    job = run.job
    TrainRunner().finish(job, job.loaded_spec, result_make(), str(draft_make(job)))
    state_set(job, State.SUCCEEDED, ended_at=timezone.now())
    run.refresh_from_db()
    return run.saes.get()


def sae_make() -> Sae:
    """An SAE of a finished run; its automatic evaluation waits in the queue."""
    return run_finish(run_make())


def evaluation_result_make() -> EvaluateResult:
    """What the engine returns for an evaluation."""
    return EvaluateResult(
        tokens=5_000,
        sink_tokens=12,
        fvu=0.33,
        fvu_with_sinks=0.06,
        l0=4.0,
        dead_share=0.1,
        ce_tokens=1_000,
        ce_clean=3.0,
        ce_sae=3.4,
        ce_zero=11.0,
        ce_recovered=0.95,
        density_histogram=(0,) * 12 + (3, 9, 20, 15, 8, 3) + (0,) * 10,
    )


def evaluation_finish(evaluation: Evaluation) -> None:
    """Give a waiting evaluation its numbers."""
    result = evaluation_result_make()
    for name in ("tokens", "fvu", "fvu_with_sinks", "l0", "dead_share", "ce_recovered"):
        setattr(evaluation, name, getattr(result, name))
    evaluation.report = result.to_json()
    evaluation.ready_at = timezone.now()
    evaluation.save()
    state_set(evaluation.job, State.SUCCEEDED, ended_at=timezone.now())
