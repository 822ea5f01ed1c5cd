"""The start page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.core.live.topics import SYSTEM, gpu_topic, topic
from apps.home.selectors import interesting_features, next_step, pipeline, starred_features
from apps.jobs.selectors import job_list
from apps.monitoring.live import card
from apps.monitoring.selectors import HOST, host_shown, latest
from apps.saes.selectors import newest_finished, sae_list

MOST_JOBS = 6
MOST_SAES = 5
SNIPPET_WIDTH = 8
"""Tokens on each side of a peak."""
PARTS = ("cpu", "memory", "disk")


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """The pipeline, what is under way, the newest results, the machine."""
    stops = pipeline()
    jobs = list(job_list(state="active")[:MOST_JOBS])
    found = latest(host_shown(HOST))
    gpus = found.reading.gpus if found else ()
    parts = [*PARTS, *[f"gpu/{gpu.index}" for gpu in gpus]]
    context = {
        "stops": stops,
        "next_step": next_step(stops),
        "jobs": jobs,
        "saes": [(sae, newest_finished(sae)) for sae in sae_list()[:MOST_SAES]],
        "features": starred_features(),
        "interesting": [
            (feature, example and example.cropped(SNIPPET_WIDTH)) for feature, example in interesting_features()
        ],
        "machine": [card(part, found) for part in parts] if found else [],
        "topics": [
            *[job.topic for job in jobs],
            *[topic(SYSTEM, part) for part in PARTS],
            *[gpu_topic(gpu.index) for gpu in gpus],
        ],
    }
    return render(request, "home/home.html", context)
