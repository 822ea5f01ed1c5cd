"""Charts: what is drawn of long series, and the table beside them."""

from apps.core.charts import MOST_POINTS, Chart, Series, thinned


def test_a_long_line_is_thinned_but_its_spikes_stay():
    values = [0.0] * 100_000
    values[77_777], values[33_333] = 9.0, -4.0
    keep = thinned(values)
    assert len(keep) <= MOST_POINTS + 2
    assert {0, 33_333, 77_777, 99_999} <= set(keep)
    assert keep == sorted(keep)


def test_short_series_are_drawn_whole():
    chart = Chart(id="c", title="Loss", x_title="step", y_title="loss", series=[Series("run", [0, 1], [0.5, None])])
    assert chart.to_json["series"] == [{"name": "run", "kind": "line", "x": [0, 1], "y": [0.5, None]}]


def test_the_table_joins_series_by_x():
    series = [Series("a", [0, 10], [1.0, 2.0]), Series("b", [10, 20], [3.0, 4.0])]
    chart = Chart(id="c", title="Loss", x_title="step", y_title="loss", series=series)
    assert chart.table_head == ["step", "a", "b"]
    assert chart.table_rows == [[0, "1", ""], [10, "2", "3"], [20, "", "4"]]


def test_tables_of_many_series_have_fewer_rows():
    few, many = ([Series(str(n), range(100), [n] * 100) for n in range(count)] for count in (2, 60))
    assert len(Chart(id="c", title="C", x_title="step", y_title="y", series=few).table_rows) == 50
    assert len(Chart(id="c", title="C", x_title="step", y_title="y", series=many).table_rows) <= 10


def test_a_chart_may_be_drawn_with_fewer_points():
    chart = Chart(
        id="c", title="C", x_title="x", y_title="y", series=[Series("a", range(900), range(900))], most_points=90
    )
    assert len(chart.to_json["series"][0]["x"]) <= 92
