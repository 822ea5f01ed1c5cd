"""Charts in a browser: drawn from the page's JSON, extended when their topic speaks, readable as a table."""

from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import expect

from apps.core.live.publishing import publish
from apps.monitoring.models import Sample
from apps.monitoring.selectors import HOST
from workers.engine.monitor.readings import Sampler

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sample_add(transactional_db):
    """Stores one reading of this machine, as the sampler does."""
    sampler = Sampler(settings.DATA_DIR)
    return lambda: Sample.objects.create(host=HOST, at=timezone.now(), values=sampler.reading().to_json())


def points(page) -> int:
    return page.evaluate("document.getElementById('chart-memory').chart.series[0].x.length")


def test_new_points_travel_when_the_topic_speaks(page, sample_add):
    for _ in range(3):
        sample_add()
    page.goto("/system/")
    chart = page.locator("#chart-memory")
    expect(chart.locator(".main-svg").first).to_be_visible()
    expect(page.locator("#live-dot")).to_have_text("live")
    assert points(page) == 3
    sample_add()
    publish("system/memory")
    for _ in range(100):
        if points(page) == 4:
            return
        page.wait_for_timeout(100)
    pytest.fail(f"{points(page)} points")


def test_times_are_drawn_in_the_readers_zone(page, sample_add):
    sample = sample_add()
    page.context.new_cdp_session(page).send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    page.goto("/system/")
    expect(page.locator("#chart-memory .main-svg").first).to_be_visible()
    drawn = page.evaluate("document.querySelector('#chart-memory .chart-plot').data[0].x[0]")
    in_tokyo = sample.at.astimezone(ZoneInfo("Asia/Tokyo"))
    assert drawn[:19] == f"{in_tokyo:%Y-%m-%dT%H:%M:%S}"
    assert points(page) == 1


def test_charts_follow_the_theme_and_are_readable_without_eyes(page, sample_add):
    sample_add()
    page.emulate_media(color_scheme="dark")
    page.goto("/system/")
    chart = page.locator("#chart-memory")
    title = chart.locator(".xtitle")
    expect(title).to_be_visible()
    dark = title.evaluate("element => element.style.fill")
    page.get_by_role("button", name="Light theme").click()
    expect(title).not_to_have_css("fill", dark)
    chart.get_by_text("Show as table").click()
    expect(chart.get_by_role("columnheader", name="RAM")).to_be_visible()
