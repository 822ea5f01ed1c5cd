"""What follows while a run learns: one answer for all charts of its page."""

import pytest

from apps.training.charts import DENSITIES, HISTOGRAM_EDGES, View, pareto_chart, run_charts
from apps.training.figures import BY_ID
from apps.training.news import chart_news
from apps.training.selectors import training_get
from tests.apps.training.worlds import cache_make, point, run_finish, run_make
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def tell(run, *points) -> None:
    TrainRunner().metrics(run.job, list(points))


def lines(news, figure: str) -> list[tuple[str, list[float]]]:
    return [(series["name"], series["x"]) for series in news["charts"][figure]["series"]]


def test_one_answer_has_the_new_points_of_every_chart(client_in):
    run = run_make()
    tell(run, point(10), point(20, ce_recovered=0.5))
    news = client_in.get(f"/training/{run.pk}/points?after=0").json()
    assert news["after"] == 20
    assert set(news["charts"]) == {"pareto", *(chart.id for chart in run_charts(run, View()))}
    assert lines(news, "fvu") == [("FVU", [10, 20])] and lines(news, "recovered") == [("CE recovered", [20])]
    assert news["charts"]["fvu"]["summary"] == "FVU is 0.333 at step 20."


def test_new_points_come_for_each_sae_from_the_step_that_is_known():
    run = run_make(sweep_k=(2, 4))
    tell(run, *[point(step, member) for step in (10, 20, 30) for member in (0, 1)])
    news = chart_news(run, View(), after=20)
    assert lines(news, "fvu") == [("SAE 0", [20, 30]), ("SAE 1", [20, 30])]
    assert [series.get("colour") for series in news["charts"]["fvu"]["series"]] == [1, 2]
    assert lines(chart_news(run, View(x="tokens", member=1), after=30), "fvu") == [("FVU", [3000])]
    assert lines(chart_news(run, View(x="time"), after=20), "fvu")[0] == ("SAE 0", [2.0, 3.0])


def test_ce_measured_later_at_a_known_step_is_not_missed():
    run = run_make()
    tell(run, point(10))
    after = chart_news(run, View(), after=0)["after"]
    tell(run, point(10, ce_recovered=0.5))
    assert lines(chart_news(run, View(), after=after), "recovered") == [("CE recovered", [10])]


def test_the_map_of_densities_is_sent_again_only_when_there_is_a_new_histogram():
    run = run_make()
    counts = [0] * (len(HISTOGRAM_EDGES) - 1)
    tell(run, point(20, density_histogram=counts))
    news = chart_news(run, View(x="time"), after=0)["charts"][DENSITIES]
    assert news["replaces"] and news["series"][0]["x"] == [20] and len(news["series"][0]["z"]) == 28
    assert news["summary"] == "1 histogram, the newest at step 20."
    assert DENSITIES not in chart_news(run, View(x="time"), after=20)["charts"]


def test_the_standing_moves_while_the_run_learns():
    cache = cache_make()
    run_finish(run_make(cache))
    run = run_make(cache)
    assert list(pareto_chart(run, View()).series[0].x) == []
    told = []
    for step, l0, fvu in ((10, 9.0, 0.8), (20, 6.0, 0.4)):
        tell(run, point(step, l0=l0, fvu=fvu))
        told.append(chart_news(training_get(run.pk), View(), after=0)["charts"]["pareto"])
    assert [(news["series"][0]["x"], news["series"][0]["y"]) for news in told] == [([9.0], [0.8]), ([6.0], [0.4])]
    assert told[0]["replaces"] and told[0]["series"][0]["name"] == "this run"


def test_news_of_a_long_run_cost_few_queries_and_a_step_that_is_none_is_refused(
    client_in, django_assert_max_num_queries
):
    run = run_make(sweep_k=(2, 4))
    tell(run, *[point(step, member) for step in range(10, 500, 10) for member in (0, 1)])
    loaded = training_get(run.pk)
    with django_assert_max_num_queries(3):
        assert len(lines(chart_news(loaded, View(), after=480), "fvu")[0][1]) == 2
    assert client_in.get(f"/training/{run.pk}/points?after=soon").status_code == 400
    assert set(chart_news(loaded, View(), after=0)["charts"]) <= {"pareto", *BY_ID}
