"""Each topic from the worker to the browser: what a worker does is written, published, rendered and sent to a page."""

import pytest
from asgiref.sync import sync_to_async

from apps.core.live import topics
from apps.datasets.services import dataset_lookup
from apps.jobs.services import job_move
from apps.jobs.states import State
from apps.language_models.services import language_model_lookup
from apps.monitoring.selectors import HOST
from apps.monitoring.services import sample_store
from tests.apps import prepared
from tests.apps.core.live.sockets import next_news, socket, source_is_listening, until_silent
from tests.apps.exports.worlds import export_make
from tests.apps.features import worlds as feature_worlds
from tests.apps.features.ablation_worlds import ablation_make
from tests.apps.features.map_worlds import map_make
from tests.apps.monitoring.test_monitoring import reading
from tests.apps.steering.worlds import experiment_make
from tests.apps.training.worlds import draft_make, evaluation_result_make, run_make, sae_make
from workers.engine.specs.datasets import DatasetLookupSpec
from workers.engine.specs.language_models import LanguageModelLookupSpec
from workers.runners.evaluate import EvaluateRunner

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_data_dir")]

SUBJECTS = {
    topics.DATASETS: lambda: prepared.job_about(prepared.make_dataset(is_ready=False)),
    topics.DATASET_LOOKUPS: lambda: dataset_lookup(spec=DatasetLookupSpec(repo_id="a/b")).job,
    topics.LANGUAGE_MODEL_LOOKUPS: lambda: language_model_lookup(spec=LanguageModelLookupSpec(repo_id="a/b")).job,
    topics.LANGUAGE_MODELS: lambda: prepared.job_about(prepared.make_language_model(is_ready=False)),
    topics.TOKENIZATIONS: lambda: prepared.job_about(prepared.make_tokenization(is_ready=False)),
    topics.TOKEN_PREVIEWS: lambda: prepared.make_preview(is_ready=False).job,
    topics.ACTIVATIONS: lambda: prepared.job_about(prepared.make_cache(is_ready=False)),
    topics.TRAININGS: lambda: run_make().job,
    topics.EVALUATIONS: lambda: sae_make().evaluations.get().job,
    topics.FEATURE_RUNS: lambda: feature_worlds.run_make(feature_worlds.sae_make())[1],
    topics.LANGUAGE_ANALYSES: lambda: feature_worlds.language_make(feature_worlds.sae_make()).job,
    topics.TRIED_TEXTS: lambda: feature_worlds.tried_make(feature_worlds.sae_make()).job,
    topics.ABLATIONS: lambda: ablation_make(feature_worlds.described_sae_make()).job,
    topics.FEATURE_MAPS: lambda: map_make(feature_worlds.sae_make()).job,
    topics.EXPERIMENTS: lambda: experiment_make(feature_worlds.sae_make()).job,
    topics.EXPORTS: lambda: export_make().job,
}
"""Entity → a queued job about a row of it."""
MACHINE = [f"{topics.SYSTEM}/{part}" for part in topics.SYSTEM_PARTS] + [topics.gpu_topic(0)]


def test_every_entity_is_followed_here():
    assert {*SUBJECTS, topics.JOBS, topics.SAES} == set(topics.ENTITIES)


@pytest.mark.parametrize("entity", SUBJECTS)
async def test_a_row_shows_that_its_job_has_begun(client_in, entity):
    job = await sync_to_async(SUBJECTS[entity])()
    await follow(client_in, topics.topic(entity, job.subject_id), lambda: job_move(job, State.RUNNING), "running")


async def test_a_job_shows_that_it_has_begun(client_in):
    job = await sync_to_async(SUBJECTS[topics.DATASETS])()
    await follow(client_in, job.topic, lambda: job_move(job, State.RUNNING), 'data-state="running"')


async def test_the_count_of_jobs_follows_their_ends(client_in):
    job = await sync_to_async(SUBJECTS[topics.DATASETS])()
    await sync_to_async(job_move)(job, State.RUNNING)
    await follow(client_in, topics.ALL_JOBS, lambda: job_move(job, State.SUCCEEDED), "hidden>0<")


async def test_an_sae_shows_what_an_evaluation_measured(client_in):
    evaluation = await sync_to_async(lambda: sae_make().evaluations.select_related("sae").get())()

    def measured() -> None:
        job = evaluation.job
        EvaluateRunner().finish(job, job.loaded_spec, evaluation_result_make(), str(draft_make(job)))

    await follow(client_in, topics.topic(topics.SAES, evaluation.sae_id), measured, "on held-out documents")


@pytest.mark.parametrize("topic", MACHINE)
async def test_a_part_of_the_machine_shows_its_newest_sample(client_in, topic):
    await follow(client_in, topic, lambda: sample_store(host=HOST, reading=reading()), 'hx-swap-oob="true"')


async def follow(client, topic: str, work, words: str) -> None:
    """Open a page on the topic, do a worker's `work`, and wait until `words`, not shown before, arrive."""
    page = socket(client, f"/ws/live/?topic={topic}")
    assert (await page.connect())[0]
    await source_is_listening()
    shown = await until_silent(page)
    assert shown and not any(words in _beyond_the_mark(html) for html in shown)

    await sync_to_async(work)()
    spoken, html = await next_news(page)
    assert spoken == topic and words in _beyond_the_mark(html)
    await page.disconnect()


def _beyond_the_mark(html: str) -> str:
    """The fragment without the element that names the topic."""
    return html.partition("</i>")[2]
