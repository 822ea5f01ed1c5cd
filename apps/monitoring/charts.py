"""The charts of the system page: what each one draws of a sample, for the first hour shown and for new points alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.urls import reverse

from apps.core.charts import Chart, Series, thinned
from apps.core.errors import NotFound
from apps.core.live.topics import SYSTEM, gpu_topic, topic
from apps.monitoring.models import Sample

GIB, MIB = 2**30, 2**20
FIRST_POINTS = 240
"""Points of each series in the page itself: minima and maxima of equal stretches of the hour. Live points follow at full
rate."""
MOST_CORE_LINES = 16

Values = dict[str, Any]
Lines = dict[str, Callable[[Values], float | None]]


@dataclass(frozen=True)
class Plot:
    """One chart: its lines by name, each a function of a sample's values."""

    name: str
    topic: str
    title: str
    y_title: str
    lines: Lines
    help: str = ""


def plots(values: Values | None) -> list[Plot]:
    """All charts for a machine with the cores and GPUs of this sample."""
    values = values or {}
    parts = [_cpu(len(values.get("cpu_pct", ()))), _memory(), _disk(), _network()]
    for gpu in values.get("gpus", ()):
        parts += _gpu(gpu["index"])
    return parts


def plot_get(name: str, values: Values | None) -> Plot:
    """The chart of that name; NotFound when this machine has none."""
    for plot in plots(values):
        if plot.name == name:
            return plot
    raise NotFound("chart", name)


def _cpu(cores: int) -> Plot:
    lines: Lines = {"all cores": lambda v: sum(v["cpu_pct"]) / max(1, len(v["cpu_pct"]))}
    if cores <= MOST_CORE_LINES:
        lines |= {f"core {n}": lambda v, n=n: v["cpu_pct"][n] if n < len(v["cpu_pct"]) else None for n in range(cores)}
    return Plot("cpu", topic(SYSTEM, "cpu"), "CPU", "busy, %", lines, "Share of time that a core was busy.")


def _memory() -> Plot:
    lines: Lines = {"RAM": lambda v: v["ram_used_bytes"] / GIB, "swap": lambda v: v["swap_used_bytes"] / GIB}
    return Plot("memory", topic(SYSTEM, "memory"), "Memory", "used, GiB", lines, "RAM that programs cannot get now.")


def _disk() -> Plot:
    lines: Lines = {"read": _rate("disk_read_bytes_s"), "written": _rate("disk_write_bytes_s")}
    return Plot("disk", topic(SYSTEM, "disk"), "Disk", "MiB/s", lines, "All disks of this machine together.")


def _network() -> Plot:
    lines: Lines = {"received": _rate("network_received_bytes_s"), "sent": _rate("network_sent_bytes_s")}
    return Plot("network", topic(SYSTEM, "network"), "Network", "MiB/s", lines, "All interfaces, loopback included.")


def _rate(name: str) -> Callable[[Values], float | None]:
    return lambda v: None if v[name] is None else v[name] / MIB


def _gpu(index: int) -> list[Plot]:
    def value(name: str, divide: float = 1) -> Callable[[Values], float | None]:
        def read(v: Values) -> float | None:
            found = next((gpu[name] for gpu in v["gpus"] if gpu["index"] == index), None)
            return None if found is None else found / divide

        return read

    busy: Lines = {"busy, %": value("utilization_pct"), "temperature, °C": value("temperature_c")}
    memory: Lines = {"used, GiB": value("memory_used_bytes", GIB)}
    power: Lines = {"power, W": value("power_w")}
    return [
        Plot(f"gpu-{index}", gpu_topic(index), f"GPU {index}: load and temperature", "% and °C", busy),
        Plot(f"gpu-{index}-memory", gpu_topic(index), f"GPU {index}: memory", "GiB", memory),
        Plot(f"gpu-{index}-power", gpu_topic(index), f"GPU {index}: power", "W", power),
    ]


def chart(plot: Plot, samples: Sequence[Sample], *, host: str) -> Chart:
    """The chart with the last hour in it, which goes on by itself as its topic speaks."""
    return Chart(
        id=f"chart-{plot.name}",
        title=plot.title,
        x_title="time",
        x_type="date",
        y_title=plot.y_title,
        series=[_thin(series) for series in series_of(plot, samples)],
        height=220,
        summary=_summary(plot, samples),
        help=plot.help,
        follow_url=f"{reverse('api:system-chart', args=[plot.name])}?host={host}",
        topic=plot.topic,
    )


def series_of(plot: Plot, samples: Sequence[Sample]) -> list[Series]:
    """The chart's lines over these samples."""
    times = [time_text(sample) for sample in samples]
    return [
        Series(name, times, [_rounded(line(sample.values)) for sample in samples]) for name, line in plot.lines.items()
    ]


def time_text(sample: Sample) -> str:
    """The sample's time as charts hold it; such texts sort like times."""
    return f"{sample.at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _thin(series: Series) -> Series:
    keep = thinned(series.y, FIRST_POINTS)
    return Series(series.name, [series.x[i] for i in keep], [series.y[i] for i in keep])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _summary(plot: Plot, samples: Sequence[Sample]) -> str:
    """The main line in one sentence."""
    name, line = next(iter(plot.lines.items()))
    known = [value for sample in samples if (value := line(sample.values)) is not None]
    if not known:
        return f"No samples of {plot.title} yet."
    mean = sum(known) / len(known)
    return f"{plot.title}, {name} ({plot.y_title}): {mean:.3g} on average, {max(known):.3g} at most, over {len(known)} samples."
