"""Charts of runs: what is drawn of one SAE and of several, what follows while a run learns, and where it stands."""

from itertools import pairwise

import pytest

from apps.jobs.states import State
from apps.training.charts import (
    DENSITIES,
    HISTOGRAM_EDGES,
    View,
    compare_charts,
    histogram_chart,
    histogram_points,
    new_points,
    pareto_chart,
    pareto_points,
    run_charts,
)
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
    for chart in (*run_charts(run, View()), pareto_chart(run, View()), histogram_chart(run, View())):
        assert chart.follow_url and chart.topic == run.topic


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


def test_what_all_saes_share_is_one_line_and_what_is_measured_seldom_has_no_gaps():
    run = run_make(sweep_k=(2, 4))
    seldom = {10: {}, 20: {"ce_recovered": 0.5}, 30: {}, 40: {"ce_recovered": 0.7}}
    tell(run, *[point(step, member, **values) for step, values in seldom.items() for member in (0, 1)])
    assert [s.name for s in chart_of(run, "learning_rate").series] == ["learning rate"]
    recovered = chart_of(run, "recovered").series
    assert [(s.name, list(s.x), list(s.y)) for s in recovered] == [(f"SAE {i}", [20, 40], [0.5, 0.7]) for i in (0, 1)]


def test_new_points_come_for_each_sae_after_what_is_known():
    run = run_make(sweep_k=(2, 4))
    tell(run, *[point(step, member) for step in (10, 20) for member in (0, 1)])
    assert [(s["name"], s["x"]) for s in new_points(run, "fvu", View(), 10)] == [("SAE 0", [20]), ("SAE 1", [20])]
    assert new_points(run, "fvu", View(x="tokens", member=1), 1000)[0]["x"] == [2000]


def test_densities_over_time_are_a_map_of_steps_by_bins():
    run = run_make()
    tell(run, point(10), point(20, density_histogram=counts(3)), point(40, density_histogram=counts(3, 5)))
    chart = histogram_chart(run, View())
    (latents,) = chart.series
    assert (latents.kind, list(latents.x), latents.y[0]) == ("heat", [20, 40], -6.875)
    assert [latents.z[3], latents.z[4], latents.z[5]] == [[1, 1], [0, 0], [0, 1]]
    assert chart.summary == "2 histograms, the newest at step 40."
    assert chart.table_rows[0][:5] == [20, 0, 0, 0, 1]


def test_the_map_is_sent_again_only_when_there_is_a_new_histogram(client_in):
    run = run_make()
    tell(run, point(20, density_histogram=counts(3)))
    assert histogram_points(run, View(), 20) == []
    url = f"/training/{run.pk}/points/{DENSITIES}"
    answer = client_in.get(f"{url}?after=-1").json()
    assert answer["replaces"] and answer["series"][0]["x"] == [20] and len(answer["series"][0]["z"]) == 28
    assert client_in.get(f"{url}?after=20").json()["series"] == []


def test_long_runs_have_an_even_selection_of_histograms_with_the_newest():
    run = run_make()
    tell(run, *[point(step, density_histogram=counts(step % 28)) for step in range(1, 402)])
    steps = list(histogram_chart(run, View()).series[0].x)
    assert len(steps) <= 200 and steps[-1] == 401 and {b - a for a, b in pairwise(steps)} == {3}


def test_the_standing_moves_while_the_run_learns(client_in):
    cache = cache_make()
    run_finish(run_make(cache))
    run = run_make(cache)
    assert list(pareto_chart(run, View()).series[0].x) == []
    url = f"/training/{run.pk}/points/pareto"
    assert client_in.get(url).json()["series"][0]["x"] == []
    tell(run, point(10, l0=9.0, fvu=0.8))
    first = client_in.get(url).json()
    tell(run, point(20, l0=6.0, fvu=0.4))
    second = client_in.get(url).json()
    assert [(a["series"][0]["x"], a["series"][0]["y"]) for a in (first, second)] == [([9.0], [0.8]), ([6.0], [0.4])]
    assert first["replaces"] and first["series"][0]["name"] == "this run"
    others = pareto_chart(run, View()).series[1]
    assert (others.name, list(others.x), list(others.y)) == ("TopK runs", [4.0], [0.25])


def test_runs_are_compared_with_saes_of_their_own_hook_site_only():
    cache = cache_make()
    run = training_start(spec=text_spec_make(cache, hook_sites=("3.resid_post", "2.resid_post")))
    RunMember.objects.filter(run=run).update(l0=5.0, fvu=0.5)
    other = training_start(spec=text_spec_make(cache, hook_sites=("2.resid_post",)))
    run_finish(other)
    first, second = pareto_chart(run, View()), pareto_chart(run, View(member=1))
    assert [len(s.x) for s in first.series] == [1] and "0 other finished SAEs at 3.resid_post" in first.summary
    assert [s.name for s in second.series] == ["this run", "TopK runs"] and "1 other" in second.summary
    assert len(pareto_points(run, View())[0]["x"]) == 1


def test_a_comparison_has_a_line_for_every_sae_of_every_run():
    cache = cache_make()
    one, sweep = run_make(cache, name="one"), run_make(cache, name="sweep", sweep_k=(2, 4))
    tell(one, point(10))
    tell(sweep, point(10, 0, fvu=0.2), point(10, 1, fvu=0.1))
    fvu = compare_charts([one, sweep], View())[0]
    assert fvu.summary == f"Now from 0.1 (run {sweep.pk}, SAE 1) to 0.5 (run {one.pk})."
    names = [series.name for series in fvu.series]
    assert names == [f"{one.pk} one", f"run {sweep.pk}, SAE 0", f"run {sweep.pk}, SAE 1"]


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
    assert new_points(run, "fvu", View(x="time"), -1)[0]["x"] == [2.0]


def test_points_after_a_time_are_told_by_training_time():
    run = run_make()
    tell(run, point(10), point(20), point(30))
    assert new_points(run, "fvu", View(x="time"), 1.5)[0]["x"] == [2.0, 3.0]
