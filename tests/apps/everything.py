"""A studio with one of everything: one chain of rows from a dataset to an export, each with its files and its job."""

from apps.datasets.services import dataset_lookup
from apps.features.collections.services import collection_add, collection_create
from apps.features.services import feature_label_set
from apps.jobs.services import job_enqueue
from apps.jobs.states import State
from apps.language_models.services import language_model_lookup
from apps.saes.models import Sae
from tests.apps.exports.worlds import export_make
from tests.apps.features.ablation_worlds import ablation_make
from tests.apps.features.map_worlds import map_make
from tests.apps.features.worlds import D_SAE, finished_run_make, language_finish, language_make, tried_make
from tests.apps.prepared import job_about, make_cache, make_preview
from tests.apps.presets.worlds import PROMPT, make_preset
from tests.apps.steering.worlds import finished_experiment_make
from tests.apps.training.worlds import (
    evaluation_finish,
    point,
    run_finish,
    run_make,
    state_set,
)
from workers.engine.specs.datasets import DatasetLookupSpec
from workers.engine.specs.language_models import (
    LanguageModelCheckSpec,
    LanguageModelLookupSpec,
    LanguageModelQuantizeSpec,
    VocabularyRebuildSpec,
)
from workers.runners.train import TrainRunner


def everything_make() -> Sae:
    """The SAE in the middle of it all. Of every job kind there is a job."""
    cache = make_cache()
    dataset, lm, tokenization = cache.tokenization.dataset, cache.language_model, cache.tokenization
    for row in (dataset, lm, tokenization, cache):
        job_about(row, state="succeeded")
    make_preview(dataset)
    run = run_make(cache, batch_size=40)
    TrainRunner().metrics(run.job, [point(step) for step in (10, 20)])
    sae = run_finish(run)
    evaluation_finish(sae.evaluations.get())
    Sae.objects.filter(pk=sae.pk).update(d_sae=D_SAE)
    sae.refresh_from_db()
    finished_run_make(sae)
    language_finish(language_make(sae))
    language_finish(language_make(sae, 5))
    map_make(sae, is_ready=True)
    ablation_make(sae, is_ready=True)
    tried_make(sae, other="The sun", is_ready=True)
    finished_experiment_make(sae)
    export_make(sae)
    feature = sae.features.get(index=5)
    feature_label_set(feature=feature, label="wind", category="Weather > Wind")
    collection_add(collection=collection_create(name="Weather"), features=sae.features.filter(index__in=(1, 2)))
    other = job_enqueue(
        spec=LanguageModelQuantizeSpec(language_model=lm.pk, quantization="int8"), subject=lm, title="Quantize"
    )
    state_set(other, State.FAILED, error_code="x", error_message="No room.", error_hint="Go smaller.")
    make_preset()
    make_preset("named", kind="labeling", options=PROMPT)
    dataset_lookup(spec=DatasetLookupSpec(repo_id="owner/stories"))
    language_model_lookup(spec=LanguageModelLookupSpec(repo_id="owner/tiny"))
    for spec in (LanguageModelCheckSpec(language_model=lm.pk), VocabularyRebuildSpec(language_model=lm.pk)):
        state_set(job_enqueue(spec=spec, subject=lm), State.SUCCEEDED)
    return sae
