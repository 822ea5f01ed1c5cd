"""Charts of runs: what is drawn of one SAE and of several, what follows while a run learns, and where it stands."""

from itertools import pairwise

import pytest

from apps.jobs.states import State
from apps.training.charts import HISTOGRAM_EDGES, View, histogram_chart, member_colour, pareto_chart, run_charts
from apps.training.figures import BY_ID
from apps.training.models import RunMember
from apps.training.selectors import points_of, training_get
from apps.training.services import training_start
from tests.apps.training.worlds import cache_make, point, run_finish, run_make, state_set, text_spec_make
from workers.engine.metrics import HISTOGRAM_EDGES as ENGINE_EDGES
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def tell(run, *points) -> None:
    TrainRunner().metrics(run.job, list(points))


def chart_of(run, figure: str, **view):
    return next(chart for chart in run_charts(run, View(**view)) if chart.id == figure)


def counts(*filled: int) -> list[int]:
    """A histogram with a latent in each of these bins."""
    return [int(bin_ in filled) for bin_ in range(len(HISTOGRAM_EDGES) - 1)]


def test_the_bins_are_those_of_the_engine():
    assert pytest.approx(list(ENGINE_EDGES)) == HISTOGRAM_EDGES


def test_an_unknown_view_falls_back_to_the_usual_one():
    assert View.from_query({"x": "moon", "y": "cubic", "smooth": "much", "member": "x"}) == View()
    assert View.from_query({"x": "tokens", "y": "log", "smooth": "7", "member": "2"}) == View("tokens", 0.99, "log", 2)


def test_a_run_that_has_not_begun_shows_every_chart_empty_to_be_filled():
    run = run_make()
    assert [chart.id for chart in run_charts(run, View())] == list(BY_ID)
    charts = [*run_charts(run, View()), pareto_chart(run, View()), histogram_chart(run, View())]
    assert {(chart.follow_url, chart.topic) for chart in charts} == {(f"/training/{run.pk}/points?x=step", run.topic)}


def test_an_ended_run_shows_only_the_charts_it_has_points_of():
    run = run_make()
    state_set(run.job, State.FAILED)
    assert pareto_chart(run, View()) is None and histogram_chart(run, View()) is None
    assert run_charts(run, View()) == []
    tell(run, point(10))
    assert {"l1", "recovered", "device_bytes"}.isdisjoint(chart.id for chart in run_charts(run, View()))


def test_one_sae_shows_the_parts_of_its_loss():
    run = run_make()
    tell(run, point(10), point(20, pre_act=None))
    loss = chart_of(run, "loss")
    assert [series.name for series in loss.series] == ["loss", "reconstruction", "auxiliary", "pre-activation"]
    assert list(loss.series[0].x) == [10, 20] and loss.summary == "Loss fell from 10 to 5 between steps 10 and 20."


def test_several_saes_are_lines_of_one_value_and_one_can_be_looked_at_alone():
    run = run_make(sweep_k=(2, 4))
    tell(run, point(10, 0, fvu=0.5), point(10, 1, fvu=0.3))
    fvu = chart_of(run, "fvu")
    assert [(s.name, list(s.y)) for s in fvu.series] == [("SAE 0", [0.5]), ("SAE 1", [0.3])]
    assert fvu.summary == "Now from 0.3 (SAE 1) to 0.5 (SAE 0)."
    alone = chart_of(run, "loss", member=1)
    assert alone.series[0].name == "loss" and "member=1" in alone.follow_url
    assert chart_of(run, "fvu", member=9).series == fvu.series, "no such SAE: all of them"


def test_a_sae_keeps_its_colour_whichever_others_are_shown():
    run = run_make(sweep_k=(2, 4))
    tell(run, point(10, 0), point(10, 1))
    assert [series.colour for series in chart_of(run, "fvu").series] == [1, 2]
    one, two = run.members.all()
    assert (member_colour(one), member_colour(two)) == (1, 2)


def test_an_architecture_has_the_same_mark_whichever_others_stand_there():
    cache = cache_make()
    for architecture in ("standard", "topk"):
        run_finish(run_make(cache, architecture=architecture))
    both = pareto_chart(run_make(cache), View()).series
    assert [series.name for series in both] == ["this run", "TopK runs", "Standard runs"]
    RunMember.objects.filter(architecture="topk").update(l0=None)
    (_, alone) = pareto_chart(run_make(cache), View()).series
    assert alone.colour == both[2].colour != both[1].colour


def test_a_run_that_learns_waits_for_what_is_measured_at_checkpoints():
    run, without = run_make(), run_make(cache_make(), ce_contexts=0)
    for each in (run, without):
        tell(each, point(10))
    assert "recovered" in [chart.id for chart in run_charts(run, View())]
    assert "recovered" not in [chart.id for chart in run_charts(without, View())]


def test_what_all_saes_share_is_one_line_and_what_is_measured_seldom_has_no_gaps():
    run = run_make(sweep_k=(2, 4))
    seldom = {10: {}, 20: {"ce_recovered": 0.5}, 30: {}, 40: {"ce_recovered": 0.7}}
    tell(run, *[point(step, member, **values) for step, values in seldom.items() for member in (0, 1)])
    assert [s.name for s in chart_of(run, "learning_rate").series] == ["learning rate"]
    recovered = chart_of(run, "recovered").series
    assert [(s.name, list(s.x), list(s.y)) for s in recovered] == [(f"SAE {i}", [20, 40], [0.5, 0.7]) for i in (0, 1)]


def test_densities_over_time_are_a_map_of_steps_by_bins():
    run = run_make()
    tell(run, point(10), point(20, density_histogram=counts(3)), point(40, density_histogram=counts(3, 5)))
    chart = histogram_chart(run, View())
    (latents,) = chart.series
    assert (latents.kind, list(latents.x), latents.y[0]) == ("heat", [20, 40], -6.875)
    assert [latents.z[3], latents.z[4], latents.z[5]] == [[1, 1], [0, 0], [0, 1]]
    assert chart.summary == "2 histograms, the newest at step 40."
    assert chart.table_rows[0][:5] == [20, 0, 0, 0, 1]


def test_long_runs_have_an_even_selection_of_histograms_with_the_newest():
    run = run_make()
    tell(run, *[point(step, density_histogram=counts(step % 28)) for step in range(1, 402)])
    steps = list(histogram_chart(run, View()).series[0].x)
    assert len(steps) <= 200 and steps[-1] == 401 and {b - a for a, b in pairwise(steps)} == {3}


def test_runs_are_compared_with_saes_of_their_own_hook_site_only():
    cache = cache_make()
    run = training_start(spec=text_spec_make(cache, hook_sites=("3.resid_post", "2.resid_post")))
    RunMember.objects.filter(run=run).update(l0=5.0, fvu=0.5)
    other = training_start(spec=text_spec_make(cache, hook_sites=("2.resid_post",)))
    run_finish(other)
    first, second = pareto_chart(run, View()), pareto_chart(run, View(member=1))
    assert [len(s.x) for s in first.series] == [1] and "0 other finished SAEs at 3.resid_post" in first.summary
    assert [s.name for s in second.series] == ["this run", "TopK runs"] and "1 other" in second.summary


def test_a_long_run_is_drawn_small_with_its_spikes_and_read_in_two_queries(django_assert_num_queries):
    run = run_make(log_every=1)
    tell(run, *[point(step, fvu=9.0 if step == 333 else 0.5) for step in range(1, 1_501)])
    loaded = training_get(run.pk)
    members = list(loaded.members.all())
    with django_assert_num_queries(2):  # how many, and which
        points_of(members, most=6_000)
    drawn = chart_of(run, "fvu").to_json["series"][0]
    assert len(drawn["x"]) <= 502 and 9.0 in drawn["y"]
    assert len(points_of(members, most=500)[members[0]]) == 500


def test_points_without_a_time_are_left_out_of_the_time_axis():
    run = run_make()
    early = point(10)
    early["values"].pop("time_s")
    tell(run, early, point(20))
    assert list(chart_of(run, "fvu", x="time").series[0].x) == [2.0]
