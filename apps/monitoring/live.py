"""Live fragments of the system page: one card for each part of the machine."""

from django.conf import settings
from django.template.loader import render_to_string

from apps.core.live.rendering import renders
from apps.core.live.topics import SYSTEM, SYSTEM_PARTS
from apps.monitoring.selectors import HOST, Latest, host_shown, latest, leases

SLOWEST_WATCHED_S = 5
"""Pages call a part stale after 10 s of silence; with rarer samples only the card itself tells its age."""


@renders(SYSTEM)
def render(pk: str) -> str | None:
    """system/cpu, memory, disk, network or gpu/N, of the host that pages show by default."""
    found = latest(host_shown(HOST))
    return card(pk, found) if found is not None else None


def card(part: str, found: Latest) -> str | None:
    """The card of one part; None for a GPU that is not there."""
    context = {"latest": found, "reading": found.reading, "part": part}
    context["is_watched"] = settings.MONITOR_INTERVAL_S <= SLOWEST_WATCHED_S
    if part in SYSTEM_PARTS:
        context["leases"] = leases(found.host, "cpu") if part == "memory" else ()
        return render_to_string(f"monitoring/system.html#{part}", context)
    number = part.removeprefix("gpu/")
    gpus = [gpu for gpu in found.reading.gpus if str(gpu.index) == number]
    if not gpus:
        return None
    context |= {"gpu": gpus[0], "leases": leases(found.host, f"cuda:{number}")}
    return render_to_string("monitoring/system.html#gpu", context)
