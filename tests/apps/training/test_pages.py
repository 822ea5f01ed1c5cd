"""Pages of training runs: they answer in every state of the job, and lists stay cheap."""

import html
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from apps.core.live.rendering import fragment, renderers_discover
from apps.jobs.states import State
from apps.presets.models import Preset
from apps.training.models import TrainingRun
from apps.training.selectors import training_json, training_list
from apps.training.services import training_start
from tests.apps.training.worlds import (
    cache_make,
    checkpoint_write,
    point,
    run_finish,
    run_make,
    state_set,
    text_spec_make,
    tokenization_more,
)
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


def test_the_runs_page_estimate_and_json_name_what_an_unfinished_warm_up_reaches(client_in):
    changes = {"architecture": "gated", "steps": 2000, "sparsity_warmup_steps": 4081}
    run = run_make(**changes)
    words = "The sparsity coefficient rises over 4,081 steps, the run has 2,000: it ends at 49 % of "
    assert words in client_in.get(f"/training/{run.pk}/").content.decode()
    assert words in client_in.get(f"/api/v1/trainings/{run.pk}").json()["schedule_notes"][0]
    form = {name: value for name, value in run.spec.items() if isinstance(value, int | float | str) and value != ""}
    sent = {name: value for name, value in form.items() if value is not False}
    assert words in client_in.post("/training/new/estimate", sent).content.decode()


def test_dead_latents_come_with_the_tokens_they_are_counted_over(client_in):
    run = run_make(dead_after_tokens=12_345)
    page = client_in.get(f"/training/{run.pk}/").content.decode()
    assert 'title="12,345">12.3k</data> last tokens' in page
    assert client_in.get(f"/api/v1/trainings/{run.pk}").json()["dead_after_tokens"] == 12_345


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


def test_settings_of_an_earlier_version_fill_the_form_in_todays_names(client_in):
    run = run_make(architecture="standard")
    old = {name: value for name, value in run.spec.items() if name != "sparsity_warmup_steps"}
    TrainingRun.objects.filter(pk=run.pk).update(spec={**old, "schema": 1, "l1_warmup_steps": 77})
    page = client_in.get(f"/training/new/?run={run.pk}").content.decode()
    assert 'name="sparsity_warmup_steps" value="77"' in page and f"run {run.pk}" in page
    assert client_in.get("/training/new/?run=999").status_code == 404


def test_the_width_follows_the_only_cache_there_is(client_in):
    cache_make()
    assert 'name="d_sae" value="128"' in client_in.get("/training/new/").content.decode()


def test_the_estimate_of_text_counts_its_saes_and_warns(client_in):
    cache = cache_make()
    body = {"source": "text", "language_model": cache.language_model_id, "tokenization": cache.tokenization_id}
    body |= {"hook_sites": "3.resid_post, 2.resid_post", "d_sae": 64, "sweep_k": "2, 9", "batch_size": 100, "steps": 50}
    words = client_in.post("/training/new/estimate", body).content.decode()
    assert "<strong>4</strong> in one training" in words and "Language model" in words
    assert "more than a tenth of d_sae" in words
    unknown = client_in.post("/training/new/estimate", body | {"hook_sites": "9.resid_post"}).content.decode()
    assert "no layer 9" in unknown


def test_the_settings_show_what_was_chosen_and_fold_the_defaults(client_in):
    run = run_make(k=7, clip_grad_norm=None)
    page = client_in.get(f"/training/{run.pk}/").content.decode()
    chosen, folded = page.split('id="training-defaults"')
    assert (
        '<th scope="row">k</th><td>7</td>' in chosen and '<th scope="row">Clip gradient norm</th><td>–</td>' in chosen
    )
    assert "Seed" not in chosen and "Hold decoder rows" not in chosen
    assert "Adam" not in chosen.split("<caption>Settings")[1] and "<dt>Adam ε</dt><dd>1e-8</dd>" in folded
    assert "L1 coefficient" not in page, "it means nothing to a TopK run"


def test_a_sweep_lists_its_saes_and_shows_one_alone(client_in):
    run = run_make(sweep_k=(2, 4))
    TrainRunner().metrics(run.job, [point(10, 0), point(10, 1)])
    page = client_in.get(f"/training/{run.pk}/?member=1").content.decode()
    assert f'href="/training/{run.pk}/?member=0"' in page and '<option value="1" selected>' in page
    assert "points?x=step&amp;member=1" in page


def test_numbers_of_a_sweep_are_those_of_all_its_saes(client_in):
    run = run_make(sweep_d_sae=(32, 128), d_sae=64)
    TrainRunner().metrics(run.job, [point(10, 0, fvu=0.25, l0=4.0), point(10, 1, fvu=0.5, l0=4.0)])
    page = client_in.get(f"/training/{run.pk}/").content.decode()
    assert re.search(r'FVU.*?metric-value"><data [^>]*>0.25</data> to <data [^>]*>0.5</data></span>', page, re.DOTALL)
    row = strip_tags(client_in.get("/training/").content.decode())
    assert "0.25 to 0.5" in row and "32 to 128" in row and "4 to 4" not in row
    assert training_json(training_list().get())["d_sae"] == 32, "that of the first, as its other numbers"


def test_a_comparison_with_a_sweep_gives_what_all_saes_have_and_no_effect_of_one(client_in):
    cache = cache_make()
    alone, sweep = run_make(cache, k=4), run_make(cache, sweep_k=(2, 8))
    TrainRunner().metrics(alone.job, [point(10, fvu=0.3)])
    TrainRunner().metrics(sweep.job, [point(10, 0, fvu=0.25), point(10, 1, fvu=0.5)])
    page = strip_tags(client_in.get(f"/training/compare/?ids={alone.pk},{sweep.pk}").content.decode())
    assert "0.25 to 0.5" in page
    assert "only in k (4 → –), Sweep: k (– → 2, 8)." in page, "its k of 4 was never used"


def test_another_run_can_be_added_to_a_comparison(client_in):
    cache = cache_make()
    first, second = run_make(cache, name="alpha"), run_make(cache, name="beta")
    page = client_in.get(f"/training/compare/?ids={first.pk}&x=tokens").content.decode()
    assert (
        f'<option value="{second.pk}">{second.pk} beta</option>' in page and f'<option value="{first.pk}">' not in page
    )
    assert '<input type="hidden" name="x" value="tokens">' in page
    context = client_in.get(f"/training/compare/?ids={first.pk}&among={first.pk}&run={second.pk}").context
    assert [run.name for run in context["runs"]] == ["alpha", "beta"]


def test_several_runs_are_deleted_after_a_question(client_in):
    cache = cache_make()
    gone, queued = run_make(cache, name="gone"), run_make(cache, name="works")
    state_set(gone.job, State.FAILED)
    asked = client_in.get(f"/training/delete/?run={gone.pk}&run={queued.pk}").content.decode()
    assert "Delete 1 run<" in asked and f"job {queued.job.pk} still works on it" in asked
    assert TrainingRun.objects.count() == 2
    said = client_in.post("/training/delete/", {"run": [gone.pk, queued.pk]}).content.decode()
    assert "1 run deleted" in said and "works</a>: Job" in said
    assert list(TrainingRun.objects.values_list("name", flat=True)) == ["works"]
    state_set(queued.job, State.FAILED)
    assert client_in.post("/training/delete/", {"run": [queued.pk]}).url == "/training/"
    assert "No runs chosen" in client_in.get("/training/delete/").content.decode()


def test_a_comparison_names_rows_not_their_numbers(client_in):
    cache = cache_make()
    first = training_start(spec=text_spec_make(cache, name="one"))
    second = training_start(spec=text_spec_make(cache, name="two", tokenization=tokenization_more(cache).pk))
    page = client_in.get(f"/training/compare/?ids={first.pk},{second.pk}").content.decode()
    assert "Language model (" not in html.unescape(page)
    assert f"only in Tokenization ({cache.tokenization} ({cache.tokenization_id}) → " in html.unescape(page)


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
    assert "k: The least allowed is 1." in client_in.post("/training/new/estimate", {**body, "k": 0}).content.decode()
    from_text = client_in.post("/training/new/estimate", {**body, "source": "text"}).content.decode()
    assert "Hook sites: A value is needed." in from_text


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
    TrainingRun.objects.filter(pk=first.pk).update(step=1_200)
    later = client_in.get(f"/training/compare/?ids={first.pk},{second.pk}").content.decode()
    assert "FVU +0.021, after 0 steps instead of 1,200." in later
    assert "Batch size" not in page
    assert "Batch size" in client_in.get(f"/training/compare/?ids={first.pk},{second.pk}&all=1").content.decode()


def test_runs_of_a_comparison_can_be_left_out_and_put_first(client_in):
    cache = cache_make()
    runs = [run_make(cache, k=k) for k in (2, 3, 4)]
    first, second, third = (run.pk for run in runs)
    page = client_in.get(f"/training/compare/?run={first}&run={second}&run={third}&x=tokens").content.decode()
    links = html.unescape(page)
    assert f"ids={second}%2C{first}%2C{third}" in links and f"ids={first}%2C{third}" in links
    assert "Now from" not in page and page.count("No points yet.") >= 4


def test_many_differences_are_counted_and_the_first_named(client_in):
    cache = cache_make()
    first, second = run_make(cache), run_make(cache, architecture="jumprelu", d_sae=128)
    page = client_in.get(f"/training/compare/?ids={first.pk},{second.pk}").content.decode()
    assert "settings: Architecture (TopK → JumpReLU), Latents (d_sae) (64 → 128), k (4 → –) and" in page
    assert "Sweep: k" not in page, "neither sweeps"


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
    shown = fragment(run.topic)
    for part in ("numbers", "past", "progress"):
        assert f'id="training-{run.pk}-{part}"' in shown
    topic = run.topic
    state_set(run.job, State.FAILED)
    run.delete()
    assert fragment(topic) is None


def test_a_run_on_text_and_one_on_its_cache_have_the_same_model_and_text(client_in):
    cache = cache_make()
    first, second = run_make(cache), training_start(spec=text_spec_make(cache))
    page = client_in.get(f"/training/compare/?ids={first.pk},{second.pk}").content.decode()
    assert '<th scope="row">Activations from' in page
    assert '<th scope="row">More tokenizations' not in page
    assert '<th scope="row">Language model' not in page and '<th scope="row">Tokenization' not in page


def test_what_a_run_made_is_named_before_a_deletion(client_in):
    run = run_make()
    sae = run_finish(run)
    page = client_in.get(f"/training/delete/?run={run.pk}").content.decode()
    assert f"“{sae}” came of it" in page and "Back to the list" in page
