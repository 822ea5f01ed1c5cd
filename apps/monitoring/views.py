"""The system page: what the machine does now, its last hour, and the work on it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.core.live.topics import SYSTEM, SYSTEM_PARTS, gpu_topic, topic
from apps.jobs.selectors import job_list
from apps.monitoring.charts import chart, plots
from apps.monitoring.live import card
from apps.monitoring.selectors import HOST, history, host_shown, hosts, latest

JOBS_SHOWN = 8


@require_GET
def system(request: HttpRequest) -> HttpResponse:
    """Cards and charts of one host (?host=), and the jobs that are under way or failed lately."""
    host = host_shown(request.GET.get("host", ""))
    found = latest(host)
    samples = history(host) if found else []
    gpus = [f"gpu/{gpu.index}" for gpu in found.reading.gpus] if found else []
    is_live = host == host_shown(HOST)
    context = {
        "host": host,
        "hosts": hosts(),
        "latest": found,
        "parts": [card(part, found) for part in (*SYSTEM_PARTS, *gpus)] if found else [],
        "charts": [chart(plot, samples, host=host) for plot in plots(found.reading.to_json() if found else None)],
        "topics": [
            *[topic(SYSTEM, part) for part in SYSTEM_PARTS],
            *[gpu_topic(gpu.index) for gpu in (found.reading.gpus if found else ())],
        ]
        if is_live
        else [],
        "active_jobs": job_list(state="active")[:JOBS_SHOWN],
        "failed_jobs": job_list(state="failed")[:JOBS_SHOWN],
    }
    return render(request, "monitoring/system.html", context)
