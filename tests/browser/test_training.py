"""Training in a browser: the form follows its choices, a run is watched and steered while it learns, runs are compared.

The tests put the lines of an engine into the rows; test_walk.py trains for real.
"""

import re

import pytest
from playwright.sync_api import Page, expect

from apps.core.live.publishing import publish
from apps.jobs.states import State, Wish
from apps.training.models import TrainingRun
from tests.apps.training.worlds import cache_make, checkpoint_write, point, run_finish, run_make, state_set
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True)]


def points(page: Page, chart: str) -> tuple[list[float], list[float]]:
    """x and y of a chart's first series."""
    x, y = page.evaluate("id => { const s = document.getElementById(id).chart.series[0]; return [s.x, s.y]; }", chart)
    return x, y


def until(page: Page, script: str, wanted: object) -> None:
    """Wait until a script gives what is wanted. The studio's Content-Security-Policy forbids wait_for_function."""
    for _ in range(100):
        if page.evaluate(script) == wanted:
            return
        page.wait_for_timeout(100)
    pytest.fail(f"{script} is {page.evaluate(script)}, not {wanted}")


def tell(run: TrainingRun, *told: dict) -> None:
    """What the supervisor does with lines of the engine."""
    TrainRunner().metrics(run.job, list(told))
    publish(run.topic, run.job.topic)


def learning(run: TrainingRun) -> TrainingRun:
    state_set(run.job, State.RUNNING, phase="training", done=20, total=100, unit="steps")
    return run


@pytest.fixture
def form(page: Page) -> Page:
    """The form of a new run, one cache to choose; its estimate has come."""
    cache_make()
    page.goto("/training/new/")
    expect(page.locator("#estimate")).to_contain_text("The cache holds 3,000 tokens")
    return page


def test_the_form_shows_what_matters_for_the_architecture(form: Page):
    def shown(name: str) -> bool:
        return form.locator(f'[name="{name}"]').is_visible()

    architecture = form.get_by_label("Architecture", exact=True)
    assert shown("k") and not shown("l1_coefficient") and not shown("l0_loss")
    architecture.select_option("standard")
    assert shown("l1_coefficient") and not shown("k")
    architecture.select_option("jumprelu")
    assert shown("l0_coefficient") and not shown("target_l0")
    form.get_by_label("Sparsity loss").select_option("quadratic")
    assert shown("target_l0")
    architecture.select_option("topk")
    assert not shown("target_l0"), "its reason is hidden, though it still says quadratic"
    form.get_by_label("Activations from").select_option("text")
    assert shown("hook_sites") and not shown("activation_cache")
    more = form.locator("details:visible", has_text="More options").first.locator(".count")
    before = int(more.inner_text())
    form.get_by_label("Activations from").select_option("cache")
    assert int(more.inner_text()) < before, "a folded part counts what it shows"


def test_the_estimate_follows_the_form_and_warns(form: Page):
    estimate = form.locator("#estimate")
    form.get_by_label("Latents (d_sae)").fill("64")
    form.get_by_label("Batch size").fill("100")
    expect(estimate).to_contain_text("k = 32 is more than a tenth of d_sae = 64")
    form.get_by_label(re.compile("^k")).fill("4")
    expect(estimate).not_to_contain_text("more than a tenth")
    form.get_by_text("Values to sweep").click()
    form.get_by_label("Sweep: k").fill("2, 4, 6")
    expect(estimate).to_contain_text("3 in one training")


def test_a_refusal_stands_at_its_field_in_words_and_the_run_starts_after_it(form: Page):
    form.get_by_label("Latents (d_sae)").fill("64")
    form.get_by_label("Batch size").fill("5000")
    form.get_by_role("button", name="Start training").click()
    expect(
        form.locator(".field", has=form.locator('[name="k"], [name="batch_size"]')).locator(".field-error")
    ).to_have_text(re.compile("The cache holds 3,000 tokens, fewer than one batch of 5,000"))
    form.get_by_label("Batch size").fill("100")
    form.get_by_role("button", name="Start training").click()
    expect(form.get_by_role("heading", level=1)).to_have_text("TopK 64 k=32 · 3.resid_post")
    assert TrainingRun.objects.get().spec["batch_size"] == 100


def test_a_run_is_watched_while_it_learns(page: Page):
    cache = cache_make()
    run_finish(run_make(cache))
    run = learning(run_make(cache))
    page.goto(run.get_absolute_url())
    expect(page.locator("#live-dot")).to_have_text("live")
    page.evaluate("window.unreloaded = true")
    assert points(page, "fvu")[0] == []
    tell(run, point(10, l0=9.0, fvu=0.8), point(20, l0=7.0, fvu=0.6))
    until(page, "document.getElementById('fvu').chart.series[0].x", [10, 20])
    until(page, "document.getElementById('pareto').chart.series[0].x", [7])
    assert points(page, "pareto") == ([7.0], [0.6])
    expect(page.locator(f"#training-{run.pk}-numbers")).to_contain_text("0.6")
    tell(run, point(30, l0=6.0, fvu=0.4, density_histogram=[0] * 20 + [64] + [0] * 7))
    until(page, "document.getElementById('pareto').chart.series[0].x", [6])
    until(page, "document.getElementById('density_histogram').chart.series[0].x", [30])
    page.get_by_label("x axis").select_option("tokens")
    expect(page.locator("#fvu .xtitle")).to_have_text("tokens")
    assert points(page, "fvu")[0] == [1000, 2000, 3000] and "x=tokens" in page.url
    assert page.evaluate("window.unreloaded"), "and the page was not loaded again"


def test_every_chart_is_drawn_anew_from_one_request(page: Page):
    run = learning(run_make(steps=1000))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/points?" in request.url else None)
    page.goto(run.get_absolute_url())
    expect(page.locator("#live-dot")).to_have_text("live")
    tell(run, point(10), point(20))
    ends = "Math.round(document.querySelector('#fvu .chart-plot')._fullLayout.xaxis.range[1])"
    until(page, ends, 20)
    drawn = page.locator("#fvu .js-line").first.get_attribute("d")
    tell(run, point(30, fvu=0.2), point(40, fvu=0.1))
    until(page, ends, 40)
    assert page.locator("#fvu .js-line").first.get_attribute("d") != drawn
    assert page.evaluate("document.getElementById('l0').chart.series[0].x") == [10, 20, 30, 40]
    expect(page.locator("#fvu .chart-summary")).to_have_text("FVU is 0.1 at step 40.")
    assert 1 <= len(asked) <= 4, "13 charts ask together"


def test_a_value_that_never_changes_is_drawn_at_its_height(page: Page):
    run = run_make()
    tell(run, point(10, learning_rate=0.0003), point(20, learning_rate=0.0003))
    page.goto(run.get_absolute_url())
    expect(page.locator("#learning_rate .main-svg").first).to_be_visible()
    axis = page.evaluate("document.querySelector('#learning_rate .chart-plot')._fullLayout.yaxis.range")
    assert axis == [0, pytest.approx(0.0006)]


def test_a_run_is_paused_resumed_and_finished_early(page: Page):
    run = learning(run_make())
    page.goto(run.get_absolute_url())
    card = page.locator("article.job-card")
    expect(page.locator("#live-dot")).to_have_text("live")
    expect(card).to_contain_text("training 20 / 100 steps")
    page.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("stopping: pause")
    TrainRunner().checkpoint(run.job, checkpoint_write(run.job, 20))
    state_set(run.job, State.PAUSED, wish=Wish.NONE)
    publish(run.topic, run.job.topic)
    expect(page.locator(f"#training-{run.pk}-past")).to_contain_text("step 20")
    expect(page.get_by_role("heading", name="Why it stopped")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(card).to_have_attribute("data-state", "queued")
    learning(run)
    publish(run.topic, run.job.topic)
    page.get_by_role("button", name="Stop and keep the SAE").click()
    page.get_by_role("button", name="Yes").click()
    expect(card).to_contain_text("stopping: stop and keep the result")
    sae = run_finish(run)
    publish(run.topic, run.job.topic)
    expect(page.get_by_role("link", name=f"(SAE {sae.pk})")).to_be_visible()


def test_a_run_out_of_memory_is_started_again_with_one_click(page: Page):
    run = run_make(batch_size=1024, steps=2)
    page.goto(run.get_absolute_url())
    expect(page.locator("#live-dot")).to_have_text("live")
    state_set(run.job, State.FAILED, error_code="out_of_memory", error_message="No room.", error_hint="Make some.")
    publish(run.topic, run.job.topic)
    page.get_by_role("button", name="Start again in pieces of 512 tokens").click()
    page.wait_for_url(re.compile(rf"/training/(?!{run.pk}/)\d+/$"))
    again = TrainingRun.objects.exclude(pk=run.pk).get()
    assert again.spec["micro_batch_size"] == 512 and again.job.state == State.QUEUED


def test_a_comparison_follows_every_run_that_learns(page: Page):
    cache = cache_make()
    first, second = (learning(run_make(cache, name=name)) for name in ("alpha", "beta"))
    for run in (first, second):
        tell(run, point(10), point(20))
    page.goto(f"/training/compare/?ids={first.pk},{second.pk}")
    expect(page.locator("#live-dot")).to_have_text("live")
    tell(second, point(30, fvu=0.125), point(40, fvu=0.0625))
    lines = "document.getElementById('fvu').chart.series.map((series) => series.x.length)"
    until(page, lines, [2, 4])
    expect(page.get_by_role("row", name="FVU")).to_contain_text("0.0625")
    tell(first, point(30))
    until(page, lines, [3, 4])


def test_runs_are_chosen_compared_and_deleted(page: Page):
    cache = cache_make()
    first, second = run_make(cache, name="alpha"), run_make(cache, name="beta", k=2)
    for run, values in ((first, {"l0": 4.0, "fvu": 0.2}), (second, {"l0": 2.0, "fvu": 0.3})):
        tell(run, point(10, **values), point(20, **values))
    page.goto("/training/")
    for name in ("alpha", "beta"):
        page.get_by_role("checkbox", name=f"Choose {name}").check()
    page.get_by_role("button", name="Compare chosen runs").click()
    expect(page.get_by_role("main")).to_contain_text(
        f"alpha ({first.pk}) differs from beta ({second.pk}) only in k (2 → 4)"
    )
    expect(page.locator("#fvu .main-svg").first).to_be_visible()
    assert page.evaluate("document.getElementById('fvu').chart.series.length") == 2
    page.get_by_role("link", name="all settings").click()
    expect(page.get_by_role("rowheader", name="Batch size")).to_be_visible()
    page.get_by_role("link", name=f"Leave run {second.pk} out").click()
    expect(page.get_by_role("columnheader", name="beta")).to_have_count(0)
    state_set(first.job, State.CANCELLED)
    page.goto(f"/training/delete/?run={first.pk}&run={second.pk}")
    expect(page.get_by_role("main")).to_contain_text("still works on it")
    page.get_by_role("button", name="Delete 1 run").click()
    page.wait_for_url("**/training/")
    assert list(TrainingRun.objects.values_list("name", flat=True)) == ["beta"]
