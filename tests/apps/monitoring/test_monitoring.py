"""Samples: stored, pruned, shown live and as history, for scripts and for charts."""

import itertools
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from apps.core.live.rendering import fragment, is_known
from apps.core.models import Pulse
from apps.monitoring import selectors
from apps.monitoring.models import Sample
from apps.monitoring.services import sample_store, samples_prune
from workers.engine.monitor.readings import GpuProcess, GpuReading, Reading

GIB = 2**30


def reading(*, busy=(10.0, 30.0), gpus=1, name="Test GPU"):
    """A made-up reading with known numbers."""
    gpu = GpuReading(
        index=0,
        name=name,
        memory_used_bytes=6 * GIB,
        memory_total_bytes=24 * GIB,
        utilization_pct=73.0,
        processes=(GpuProcess(pid=42, name="python", bytes=5 * GIB),),
    )
    return Reading(
        cpu_pct=busy,
        cores=len(busy),
        ram_used_bytes=3 * GIB,
        ram_total_bytes=8 * GIB,
        swap_used_bytes=0,
        swap_total_bytes=0,
        disk_read_bytes_s=None,
        disk_write_bytes_s=2.0**20,
        network_sent_bytes_s=0.0,
        network_received_bytes_s=0.0,
        data_used_bytes=1,
        data_total_bytes=2,
        load_1min=0.5,
        gpus=(gpu,) * gpus,
    )


def store(age_s=0.0, **values):
    """One sample of this host, so many seconds old."""
    return sample_store(host=selectors.HOST, reading=reading(**values), at=timezone.now() - timedelta(seconds=age_s))


@pytest.mark.django_db
def test_a_sample_is_stored_and_every_part_of_the_machine_is_published():
    store()
    assert Sample.objects.get().values["ram_used_bytes"] == 3 * GIB
    if Pulse.objects.exists():  # SQLite; PostgreSQL notifies
        topics = set(Pulse.objects.values_list("topic", flat=True))
        assert topics == {"system/cpu", "system/memory", "system/disk", "system/network", "system/gpu/0"}


@pytest.mark.django_db
def test_samples_older_than_an_hour_are_pruned_and_younger_ones_stay():
    store(3700)
    kept = store(3500)
    assert samples_prune() == 1
    assert Sample.objects.get() == kept


@pytest.mark.django_db
def test_history_is_thinned_evenly_and_always_holds_the_newest():
    for age in range(100, 0, -1):
        store(age)
    found = selectors.history(selectors.HOST, points=30)
    assert len(found) <= 30
    assert found[-1] == Sample.objects.order_by("at").last()
    gaps = {round((b.at - a.at).total_seconds()) for a, b in itertools.pairwise(found)}
    assert gaps == {4}


@pytest.mark.django_db
def test_the_newest_reading_turns_stale_when_samples_stop():
    store(60)
    assert selectors.latest(selectors.HOST).is_stale
    store(1)
    assert not selectors.latest(selectors.HOST).is_stale


@pytest.mark.django_db
@pytest.mark.parametrize("topic", ["system/cpu", "system/memory", "system/disk", "system/network", "system/gpu/0"])
def test_every_system_topic_has_a_fragment_that_can_be_swapped_in(topic):
    store()
    html = fragment(topic)
    assert is_known(topic)
    assert f'data-topic="{topic}"' in html
    assert 'hx-swap-oob="true"' in html
    assert re.search(r'<section class="card" id="system-[a-z0-9-]+"', html)


@pytest.mark.django_db
def test_a_gpu_that_is_not_there_has_no_fragment():
    store(gpus=0)
    assert fragment("system/gpu/0") is None


@pytest.mark.django_db
def test_names_from_the_driver_are_escaped():
    store(name="<script>x</script>")
    assert "<script>" not in fragment("system/gpu/0")


def test_the_page_shows_cards_and_the_hours_charts(client_in):
    for age in (6, 4, 2):
        store(age)
    page = client_in.get("/system/").content.decode()
    assert page.count("<h1") == 1
    for part in ("cpu", "memory", "disk", "network", "gpu-0"):
        assert f'id="system-{part}"' in page
        assert f'id="chart-{part}"' in page
    assert "topic=system%2Fgpu%2F0" in page


def test_a_card_that_does_not_tell_its_memory_is_shown_as_unknown(client_in):
    silent = replace(reading().gpus[0], memory_used_bytes=None, memory_total_bytes=None)
    sample_store(host=selectors.HOST, reading=replace(reading(), gpus=(silent,), cores=1))
    page = client_in.get("/system/").content.decode()
    assert "unknown" in page and "Cores allowed" in page


def test_the_page_of_a_machine_without_gpu_says_so_and_is_no_error(client_in):
    store(gpus=0)
    assert "no NVIDIA GPU" in client_in.get("/system/").content.decode()


def test_the_page_without_samples_tells_what_to_start(client_in):
    answer = client_in.get("/system/")
    assert answer.status_code == 200
    assert "manage.py sampler" in answer.content.decode()


def test_metrics_give_the_newest_reading(client_in):
    store()
    found = client_in.get("/api/v1/system/metrics").json()
    assert found["reading"]["cpu_pct"] == [10.0, 30.0]
    assert found["is_stale"] is False
    assert found["hosts"] == [selectors.HOST]


def test_metrics_without_samples_are_stale_and_no_error(client_in):
    found = client_in.get("/api/v1/system/metrics").json()
    assert found["reading"] is None
    assert found["is_stale"] is True


def test_history_is_oldest_first_and_after_asks_for_later_samples(client_in):
    for age in (30, 20, 10):
        store(age, busy=(float(age),))
    found = client_in.get("/api/v1/system/history").json()["samples"]
    assert [sample["reading"]["cpu_pct"] for sample in found] == [[30.0], [20.0], [10.0]]
    later = client_in.get("/api/v1/system/history", {"after": found[1]["at"]}).json()["samples"]
    assert [sample["reading"]["cpu_pct"] for sample in later] == [[10.0]]


@pytest.mark.parametrize("query", [{"points": "0"}, {"points": "1801"}, {"points": "x"}, {"after": "yesterday"}])
def test_history_refuses_what_it_does_not_understand(client_in, query):
    answer = client_in.get("/api/v1/system/history", query)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == next(iter(query))


def test_a_chart_asks_for_the_points_after_its_last_one_and_gets_no_point_twice(client_in):
    store(4, busy=(10.0, 30.0))
    url = reverse("api:system-chart", args=["cpu"])
    first = client_in.get(url, {"after": "-1"}).json()["series"]
    assert [line["name"] for line in first] == ["all cores", "core 0", "core 1"]
    assert [line["y"] for line in first] == [[20.0], [10.0], [30.0]]
    last = first[0]["x"][-1]
    assert client_in.get(url, {"after": last}).json()["series"][0]["y"] == []
    store(1, busy=(50.0, 70.0))
    assert client_in.get(url, {"after": last}).json()["series"][0]["y"] == [60.0]


def test_a_chart_of_a_missing_gpu_is_not_found(client_in):
    store(gpus=0)
    assert client_in.get(reverse("api:system-chart", args=["gpu-0"])).status_code == 404


@pytest.mark.django_db
def test_the_sampler_writes_prunes_and_does_its_chores(monkeypatch, settings):
    chores = []
    monkeypatch.setattr("workers.supervisor.periodic.Periodic.due", lambda self: chores.append(1))
    monkeypatch.setattr("signal.signal", lambda number, action: None)
    settings.MONITOR_INTERVAL_S = 0
    store(4000)
    call_command("sampler", count=2)
    assert Sample.objects.count() == 2
    assert Sample.objects.first().host == selectors.HOST
    assert chores


@pytest.mark.django_db
def test_a_sample_of_another_version_is_passed_by():
    Sample.objects.create(host=selectors.HOST, at=timezone.now(), values={"unheard_of": 1})
    assert selectors.latest(selectors.HOST) is None
    assert selectors.history(selectors.HOST) == []
