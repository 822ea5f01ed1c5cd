"""From publish() to the socket: replay, coalescing, rollback, refusals. Runs on SQLite, and again on PostgreSQL."""

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.db import transaction

from apps.core.live import hub as hub_module
from apps.core.live.hub import HUB, SPACING_S, Hub
from apps.core.live.publishing import publish
from apps.jobs.models import Job
from tests.apps.core.live.sockets import next_news, socket, source_is_listening, until_silent

TRANSACTIONAL = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job(db) -> Job:
    return Job.objects.create(
        kind="train", queue="gpu", title="Train <b>SAEs</b>", priority=50, spec={}, state="queued"
    )


@TRANSACTIONAL
async def test_the_current_state_arrives_on_connect(client_in, job):
    page = socket(client_in, f"/ws/live/?topic=jobs/{job.pk}")
    assert (await page.connect())[0]
    topic, html = await next_news(page)
    assert topic == f"jobs/{job.pk}"
    assert f'id="job-{job.pk}"' in html and "queued" in html
    assert "Train &lt;b&gt;SAEs" in html
    await page.disconnect()


@TRANSACTIONAL
async def test_a_committed_change_reaches_the_page_and_a_rolled_back_one_does_not(client_in, job):
    page = socket(client_in, f"/ws/live/?topic=jobs/all&topic=jobs/{job.pk}")
    await page.connect()
    await source_is_listening()
    await until_silent(page)

    await sync_to_async(publish_and_roll_back)(f"jobs/{job.pk}")
    await sync_to_async(publish)("jobs/all")
    assert (await next_news(page))[0] == "jobs/all"

    await sync_to_async(job_fail)(job)
    topic, html = await next_news(page)
    assert topic == f"jobs/{job.pk}" and "no room" in html
    await page.disconnect()


def publish_and_roll_back(topic: str) -> None:
    with transaction.atomic():
        publish(topic)
        transaction.set_rollback(True)


def job_fail(job: Job) -> None:
    with transaction.atomic():
        Job.objects.filter(pk=job.pk).update(state="failed", error_message="no room")
        publish(job.topic)


@TRANSACTIONAL
async def test_strangers_are_refused(client, job):
    assert not (await socket(client, f"/ws/live/?topic=jobs/{job.pk}").connect())[0]


@TRANSACTIONAL
@pytest.mark.parametrize("path", ["", "?topic=passwords/1", "?topic=jobs/1&topic=../etc", "?topic=jobs/%00"])
async def test_unknown_topics_are_refused(client_in, path):
    assert not (await socket(client_in, f"/ws/live/{path}").connect())[0]


@TRANSACTIONAL
async def test_a_foreign_origin_is_refused(client_in, job):
    page = socket(client_in, f"/ws/live/?topic=jobs/{job.pk}", origin="https://evil.example")
    assert not (await page.connect())[0]


@TRANSACTIONAL
async def test_the_hub_rests_when_the_last_page_is_gone(client_in, job):
    page = socket(client_in, "/ws/live/?topic=jobs/all")
    await page.connect()
    assert HUB.task is not None
    await page.disconnect()
    assert HUB.task is None and not HUB.listeners and not HUB.due


class Page:
    """A listener that keeps what it was sent."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.at: list[float] = []

    async def send(self, text_data=None) -> None:
        self.texts.append(text_data)
        self.at.append(time.monotonic())


@pytest.fixture
def quiet_hub(monkeypatch):
    """A hub without source, whose fragments count how often they were made."""
    made: list[str] = []

    async def silent(mark, mark_all):
        await asyncio.Event().wait()

    def fragment(topic):
        made.append(topic)
        if topic == "jobs/666":
            raise ZeroDivisionError
        return f"<p>{len(made)}</p>"

    monkeypatch.setattr(hub_module.sources, "hear", silent)
    monkeypatch.setattr(hub_module, "fragment", fragment)
    monkeypatch.setattr(hub_module, "database_sync_to_async", lambda function: as_coroutine(function))
    return Hub(), made


def as_coroutine(function):
    async def call(*args):
        return function(*args)

    return call


async def test_a_burst_is_rendered_once_and_the_next_after_a_pause(quiet_hub):
    hub, made = quiet_hub
    page = Page()
    hub.join(page, ["jobs/1"])
    for _ in range(50):
        hub.mark("jobs/1")
    await until(lambda: made == ["jobs/1"])
    for _ in range(50):
        hub.mark("jobs/1")
        hub.mark("jobs/2")
    await until(lambda: len(page.texts) == 2)
    assert made == ["jobs/1", "jobs/1"], "a topic without listeners is not rendered"
    assert page.at[1] - page.at[0] >= SPACING_S * 0.9
    hub.leave(page)


async def test_one_broken_fragment_does_not_silence_the_others(quiet_hub):
    hub, _ = quiet_hub
    page = Page()
    hub.join(page, ["jobs/666", "jobs/1"])
    await until(lambda: len(page.texts) == 1)
    assert 'data-topic="jobs/1"' in page.texts[0]
    hub.leave(page)


async def until(holds) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)
