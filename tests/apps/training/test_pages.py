"""Pages of training runs: they answer in every state of the job, and lists stay cheap."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.live.rendering import fragment, renderers_discover
from apps.jobs.states import State
from apps.presets.models import Preset
from apps.training.models import TrainingRun
from tests.apps.training.worlds import cache_make, checkpoint_write, point, run_finish, run_make, state_set
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


@pytest.mark.parametrize("state", State.values)
def test_a_run_has_a_page_in_every_state_of_its_job(client_in, state):
    run = run_make()
    TrainRunner().metrics(run.job, [point(10), point(20)])
    TrainRunner().checkpoint(run.job, checkpoint_write(run.job, 20))
    state_set(run.job, state, error_code="loss_not_finite", error_message="The loss <b>was</b> not finite.")
    page = client_in.get(f"/training/{run.pk}/").content.decode()
    assert "TopK 64 k=4" in page and "FVU fell from 0.5 to 0.333" in page
    assert ("The loss &lt;b&gt;was&lt;/b&gt; not finite." in page) == (state == State.FAILED)


def test_a_finished_run_leads_to_its_sae(client_in):
    run = run_make()
    sae = run_finish(run)
    assert f'href="/saes/{sae.pk}/"' in client_in.get(f"/training/{run.pk}/").content.decode()


def test_the_list_needs_no_more_queries_for_more_runs(client_in):
    cache = cache_make()

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client_in.get("/training/").status_code == 200
        return len(captured)

    run_make(cache)
    few = queries()
    for _ in range(8):
        run_make(cache)
    assert queries() == few


def test_the_list_is_narrowed_by_state_and_words(client_in):
    cache = cache_make()
    failed, queued = run_make(cache, name="alpha"), run_make(cache, name="beta")
    state_set(failed.job, State.FAILED)
    page = client_in.get("/training/?state=failed").content.decode()
    assert "alpha" in page and "beta" not in page
    assert "No run matches" in client_in.get("/training/?q=gamma").content.decode()
    assert queued.name in client_in.get("/training/?q=bet").content.decode()


def test_the_form_starts_from_a_cache_a_run_or_a_preset(client_in):
    cache = cache_make()
    page = client_in.get(f"/training/new/?activation_cache={cache.pk}").content.decode()
    assert 'name="d_sae" value="128"' in page  # 8 × d_in
    run = run_make(cache, k=7)
    assert 'name="k" value="7"' in client_in.get(f"/training/new/?run={run.pk}").content.decode()
    preset = Preset.objects.create(kind="training", name="wide", spec={"d_sae": 999})
    assert 'name="d_sae" value="999"' in client_in.get(f"/training/new/?preset={preset.pk}").content.decode()


def test_a_posted_form_starts_a_run_and_a_refusal_is_shown_at_its_field(client_in):
    cache = cache_make()
    answer = client_in.post("/training/new/", {"activation_cache": cache.pk, "d_sae": 64, "k": 4, "batch_size": 100})
    run = TrainingRun.objects.get()
    assert answer.status_code == 302 and answer.url == f"/training/{run.pk}/"
    refused = client_in.post("/training/new/", {"activation_cache": cache.pk, "d_sae": 64, "k": 4, "batch_size": 5000})
    assert refused.status_code == 422 and "fewer than one batch" in refused.content.decode()


def test_the_estimate_knows_memory_and_the_time_of_earlier_runs(client_in):
    cache = cache_make()
    body = {"activation_cache": cache.pk, "d_sae": 64, "k": 4, "batch_size": 100, "steps": 50}
    assert "unknown until" in client_in.post("/training/new/estimate", body).content.decode()
    run = run_make(cache)
    TrainRunner().metrics(run.job, [point(10)])  # 1,000 tokens/s
    page = client_in.post("/training/new/estimate", body).content.decode()
    assert "about 5 s" in page and "largest d_sae" in page
    assert "cannot be used yet" in client_in.post("/training/new/estimate", {**body, "k": 0}).content.decode()


def test_a_chart_follows_in_the_units_of_its_axis(client_in):
    run = run_make()
    TrainRunner().metrics(run.job, [point(10), point(20), point(30)])

    def xs(query: str) -> list[float]:
        return client_in.get(f"/training/{run.pk}/points/fvu?{query}").json()["series"][0]["x"]

    assert xs("after=10") == [20, 30]
    assert xs("x=tokens&after=2000") == [3000]
    assert xs("x=time&after=1") == [2.0, 3.0]  # 100 tokens a step at 1,000 tokens/s
    assert client_in.get(f"/training/{run.pk}/points/nonsense").status_code == 404


def test_a_comparison_names_the_only_difference_and_its_effect(client_in):
    cache = cache_make()
    first, second = (
        run_make(cache, architecture="standard"),
        run_make(cache, architecture="standard", l1_coefficient=2.0),
    )
    TrainingRun.objects.filter(pk=first.pk).update(l0=100.0, fvu=0.2)
    TrainingRun.objects.filter(pk=second.pk).update(l0=62.0, fvu=0.221)
    page = client_in.get(f"/training/compare/?run={first.pk}&run={second.pk}").content.decode()
    assert "only in L1 coefficient (1 → 2): L0 −38 %, FVU +0.021." in page
    assert "Batch size" not in page
    assert "Batch size" in client_in.get(f"/training/compare/?ids={first.pk},{second.pk}&all=1").content.decode()


def test_more_than_ten_runs_are_not_compared(client_in):
    answer = client_in.get("/training/compare/?ids=" + ",".join(str(n) for n in range(1, 12)))
    assert answer.status_code == 400 and "at most 10" in answer.content.decode()


def test_a_deletion_asks_first_and_names_what_stands_in_the_way(client_in):
    run = run_make()
    sae = run_finish(run)
    page = client_in.get(f"/training/{run.pk}/delete").content.decode()
    assert sae.name in page
    assert client_in.post(f"/training/{run.pk}/delete").status_code == 409
    assert TrainingRun.objects.filter(pk=run.pk).exists()


def test_the_live_fragment_carries_the_numbers_and_ends_with_the_row():
    renderers_discover()
    run = run_make()
    TrainRunner().metrics(run.job, [point(20)])
    html = fragment(run.topic)
    for part in ("numbers", "past", "progress"):
        assert f'id="training-{run.pk}-{part}"' in html
    topic = run.topic
    state_set(run.job, State.FAILED)
    run.delete()
    assert fragment(topic) is None
