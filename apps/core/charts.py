"""A chart as the server describes it: series in, JSON for static/js/charts.js and a table for everyone else out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_POINTS = 1500
USUAL_HEIGHT = 280
"""CSS pixels."""
MOST_TABLE_ROWS = 50
MOST_TABLE_CELLS, LEAST_TABLE_ROWS = 600, 8
"""Of many series fewer rows are shown."""


@dataclass(frozen=True)
class Series:
    """One named series. `kind` is line, points, bar or heat; `labels` are shown when a point is hovered."""

    name: str
    x: Sequence[float | str]
    y: Sequence[float | None]
    kind: str = "line"
    labels: Sequence[str] = ()
    links: Sequence[str] = ()
    """A URL for each point, behind the chart's `link_base`: a click opens it."""
    z: Sequence[Sequence[float]] = ()
    """heat: a row for each y, a number in it for each x."""
    colour: int = 0
    """1, 2, …: which of the colours for series is its own; 0: the one of its place in the chart."""
    dash: str = ""
    """line: "dash", "dot", …, as Plotly names them; "" is solid."""

    def to_json(self, most: int | None = None) -> dict[str, object]:
        """What charts.js reads, of a line the points that stay when it is thinned to `most`."""
        if self.kind == "heat":
            return {"name": self.name, "kind": "heat", "x": self.x, "y": self.y, "z": self.z}
        keep = thinned(self.y, most) if self.kind == "line" and most else range(len(self.y))
        made = {
            name: [getattr(self, name)[i] for i in keep]
            for name in ("x", "y", "labels", "links")
            if getattr(self, name)
        }
        own = {name: getattr(self, name) for name in ("colour", "dash") if getattr(self, name)}
        return {"name": self.name, "kind": self.kind, "x": [], "y": [], **made, **own}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What components/chart.html draws.

    With `follow_url` and `topic` a live chart asks follow_url?after=<last x> for {"series": [{"name", "x", "y"}]}
    whenever the topic speaks, and adds those points. Charts of one `follow_url` that know what they were made of,
    `follow_after`, share one request: ?after=<follow_after> is answered by {"after", "charts": {id: {"series", …}}}.
    `topic` may be several, with spaces between.
    """

    id: str
    title: str
    x_title: str
    y_title: str
    series: Sequence[Series] = field(default_factory=tuple)
    x_type: str = "linear"
    """linear, log or date: x are then texts of UTC times, drawn in the reader's zone."""
    y_type: str = "linear"
    can_log_x: bool = False
    can_log_y: bool = False
    can_smooth: bool = False
    smooth: float = 0.0
    height: int = USUAL_HEIGHT
    summary: str = ""
    """The chart in one sentence, for people who do not see it."""
    help: str = ""
    formula: str = ""
    follow_url: str = ""
    follow_after: int | str | None = None
    topic: str = ""
    link_base: str = ""
    select_url: str = ""
    """A box drawn over points leads there, with its borders as ?x_from=&x_to=&y_from=&y_to=."""
    most_points: int = MOST_POINTS
    """Of each line; the least and the greatest of each stretch are kept."""

    @property
    def json_id(self) -> str:
        return f"{self.id}-json"

    @property
    def to_json(self) -> dict[str, object]:
        """What charts.js reads; lines are thinned to `most_points`."""
        return {
            "x_title": self.x_title,
            "y_title": self.y_title,
            "x_type": self.x_type,
            "y_type": self.y_type,
            "smooth": self.smooth,
            "link_base": self.link_base,
            "select_url": self.select_url,
            "series": [series.to_json(self.most_points) for series in self.series],
        }

    @property
    def _is_heat(self) -> bool:
        return bool(self.series) and self.series[0].kind == "heat"

    @property
    def table_head(self) -> list[str]:
        first = f"{self.x_title} (UTC)" if self.x_type == "date" else self.x_title
        if self._is_heat:
            return [first, *[f"{self.y_title} {y:g}" for y in self.series[0].y]]
        return [first, *[series.name for series in self.series]]

    @property
    def table_rows(self) -> list[list[object]]:
        """Rows by x for all series, evenly thinned to MOST_TABLE_ROWS and MOST_TABLE_CELLS."""
        if self._is_heat:
            rows = [[x, *column] for x, column in zip(self.series[0].x, zip(*self.series[0].z))]
            return rows[:: self._table_stride(len(rows))]
        columns = [dict(zip(series.x, series.y)) for series in self.series]
        at = list(dict.fromkeys(x for series in self.series for x in series.x))
        shown = at[:: self._table_stride(len(at))]
        return [[_cell(x), *[_cell(column.get(x)) for column in columns]] for x in shown]

    def _table_stride(self, rows: int) -> int:
        most = min(MOST_TABLE_ROWS, max(LEAST_TABLE_ROWS, MOST_TABLE_CELLS // len(self.table_head)))
        return max(1, -(-rows // most))


def _cell(value: float | str | None) -> object:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else value


def thinned(values: Sequence[float | None], most: int = MOST_POINTS) -> list[int]:
    """Positions to draw: the least and the greatest value of each bucket, so that spikes stay visible."""
    if len(values) <= most:
        return list(range(len(values)))
    buckets, keep = most // 2, {0, len(values) - 1}
    for bucket in range(buckets):
        inside = range(bucket * len(values) // buckets, (bucket + 1) * len(values) // buckets)
        known = [i for i in inside if values[i] is not None]
        if known:
            keep |= {min(known, key=lambda i: values[i]), max(known, key=lambda i: values[i])}
    return sorted(keep)
