"""Charts of several runs: a line for every SAE, and a colour that stays a run's own."""

import pytest

from apps.jobs.states import State
from apps.training.charts import View
from apps.training.comparison_charts import colours_of, compare_charts
from tests.apps.training.worlds import cache_make, point, run_make, state_set
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def tell(run, *points) -> None:
    TrainRunner().metrics(run.job, list(points))


def test_a_comparison_has_a_line_for_every_sae_of_every_run_in_its_runs_colour():
    cache = cache_make()
    one, sweep = run_make(cache, name="one"), run_make(cache, name="sweep", sweep_k=(2, 4))
    tell(one, point(10))
    tell(sweep, point(10, 0, fvu=0.2), point(10, 1, fvu=0.1))
    charts = compare_charts([one, sweep], View(), colours_of([one.pk, sweep.pk]))
    fvu = charts[0]
    assert fvu.summary == f"Now from 0.1 (run {sweep.pk}, SAE 1) to 0.5 (run {one.pk})."
    names = [series.name for series in fvu.series]
    assert names == [f"{one.pk} one", f"run {sweep.pk}, SAE 0", f"run {sweep.pk}, SAE 1"]
    drawn = [(series.colour, series.dash) for series in fvu.series]
    assert drawn == [(1, ""), (2, ""), (2, "dash")]
    assert all([(series.colour, series.dash) for series in chart.series] == drawn for chart in charts)


def test_runs_that_must_share_a_colour_differ_in_their_dash():
    cache = cache_make()
    runs = [run_make(cache, name=str(number)) for number in range(8)]
    lines = compare_charts(runs, View(), colours_of([run.pk for run in runs]))[0].series
    assert len({(series.colour, series.dash) for series in lines}) == 8


def test_a_run_keeps_its_colour_on_the_page_when_others_are_left_out_or_change_places(client_in):
    cache = cache_make()
    runs = [run_make(cache, name=name, k=k) for name, k in (("alpha", 2), ("beta", 4), ("gamma", 8))]
    ids = [run.pk for run in runs]

    def swatches(query: str) -> dict[int, str]:
        columns = client_in.get(f"/training/compare/?{query}").context["columns"]
        return {column["run"].pk: column["colour"] for column in columns}

    at_first = swatches("&".join(f"run={pk}" for pk in ids))
    assert at_first == {ids[0]: 1, ids[1]: 2, ids[2]: 3}
    page = client_in.get(f"/training/compare/?ids={ids[0]},{ids[1]},{ids[2]}").content.decode()
    assert f"ids={ids[1]}%2C{ids[2]}&amp;among={ids[0]}%2C{ids[1]}%2C{ids[2]}" in page, "the link that leaves alpha out"
    among = ",".join(map(str, ids))
    assert swatches(f"ids={ids[2]},{ids[1]}&among={among}") == {ids[2]: 3, ids[1]: 2}
    assert swatches(f"ids={ids[2]}&run={ids[0]}&among={ids[1]},{ids[2]}") == {ids[2]: 2, ids[0]: 3}, "one joined"


def test_charts_of_a_comparison_follow_the_runs_that_learn(client_in):
    cache = cache_make()
    done, one, two = (run_make(cache, name=name) for name in ("done", "one", "two"))
    state_set(done.job, State.FAILED)
    for run, steps in ((done, (10, 20)), (one, (10, 20, 30)), (two, (10,))):
        tell(run, *[point(step) for step in steps])
    page = client_in.get(f"/training/compare/?ids={done.pk},{one.pk},{two.pk}")
    charts = page.context["charts"]
    assert {chart.topic for chart in charts} == {f"{one.topic} {two.topic}"}
    assert {chart.follow_after for chart in charts} == {f"{one.pk}-30,{two.pk}-10"}
    assert f'data-refresh="{one.topic} {two.topic}"' in page.content.decode()
    tell(two, point(20), point(30))
    news = client_in.get(f"{charts[0].follow_url}&after={charts[0].follow_after}").json()
    assert news["after"] == f"{one.pk}-30,{two.pk}-30"
    drawn = [(s["name"], s["x"], s["colour"]) for s in news["charts"]["fvu"]["series"]]
    assert drawn == [(f"{one.pk} one", [30], 2), (f"{two.pk} two", [10, 20, 30], 3)]
    assert client_in.get(f"{charts[0].follow_url}&after=nonsense").json() == {"after": "", "charts": {}}


def test_charts_of_ended_runs_ask_for_nothing(client_in):
    run = run_make()
    state_set(run.job, State.FAILED)
    (first, *_) = client_in.get(f"/training/compare/?ids={run.pk}").context["charts"]
    assert not first.follow_url and not first.topic
