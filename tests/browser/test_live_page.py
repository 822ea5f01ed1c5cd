"""The live layer as a reader sees it: news by socket, reconnection, polling when the socket is silent."""

import re

import pytest
from playwright.sync_api import expect

from apps.core.live.publishing import publish
from apps.jobs.models import Job
from workers.engine.specs.training import TrainSpec

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def job(transactional_db) -> Job:
    spec = TrainSpec(activation_cache=1)
    values = {"title": spec.TITLE, "queue": spec.QUEUE, "priority": 50, "spec": spec.to_json()}
    return Job.objects.create(
        kind="train", state="running", phase="training", done=10, total=100, unit="steps", **values
    )


def job_set(job: Job, *, tell: bool = True, **values) -> None:
    Job.objects.filter(pk=job.pk).update(**values)
    if tell:
        publish(job.topic, "jobs/all")


def test_a_change_in_another_process_appears_without_a_reload(page, job):
    page.goto(job.get_absolute_url())
    card = page.locator(f"#job-{job.pk}")
    expect(page.locator("#live-dot")).to_have_text("live")
    expect(page.locator("#jobs-active-wide")).to_contain_text("1")
    job_set(job, done=42)
    expect(card).to_contain_text("training 42 / 100 steps")
    job_set(job, state="failed", error_message="No room.")
    expect(card).to_contain_text("No room.")
    expect(card.get_by_role("button", name="Try again")).to_be_visible()
    expect(page).to_have_title(f"✗ {job.title}, job {job.pk} · miStudio")
    expect(page.locator("#jobs-active-wide")).to_be_hidden()


def test_a_list_gains_new_jobs_by_itself(page, job):
    page.goto("/jobs/")
    expect(page.locator("#live-dot")).to_have_text("live")
    expect(page.locator("tr[data-row]")).to_have_count(1)
    page.wait_for_timeout(1000)  # the replay on connect is no news
    job.pk = None
    job.save()
    publish("jobs/all")
    expect(page.locator("tr[data-row]")).to_have_count(2)
    expect(page.locator("#live-socket")).to_have_attribute("data-poll", re.compile(rf"topic=jobs%2F{job.pk}\b"))
    expect(page.locator("#live-dot")).to_have_text("live")
    job_set(job, done=99)
    expect(page.locator(f"#job-{job.pk}-cell")).to_contain_text("99 / 100")


def test_after_a_restart_of_the_server_the_page_shows_what_it_missed(page, job, server):
    page.goto(job.get_absolute_url())
    expect(page.locator("#live-dot")).to_have_text("live")
    server.kill()
    expect(page.locator("#live-dot")).to_have_text("reconnecting")
    job_set(job, done=77)
    server.start()
    expect(page.locator(f"#job-{job.pk}")).to_contain_text("77 / 100", timeout=30_000)
    expect(page.locator("#live-dot")).to_have_text("live", timeout=30_000)


def test_a_silent_working_topic_is_called_stale_and_polled(page, job):
    page.clock.install()
    page.goto(job.get_absolute_url())
    expect(page.locator("#live-dot")).to_have_text("live")
    job_set(job, tell=False, done=55)
    page.clock.run_for(17_000)
    expect(page.locator("#live-dot")).to_contain_text("stale")
    expect(page.locator(f"#job-{job.pk}")).to_contain_text("55 / 100")
    job_set(job, done=56)
    expect(page.locator(f"#job-{job.pk}")).to_contain_text("56 / 100")
    expect(page.locator("#live-dot")).to_have_text("live")


def test_a_question_is_asked_before_a_job_is_cancelled(page, job):
    page.goto(job.get_absolute_url())
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="No, go back").click()
    job.refresh_from_db()
    assert job.state == "running"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.locator(f"#job-{job.pk} .badge")).to_contain_text("stopping: cancel")


def test_a_question_that_was_open_while_news_came_is_still_answered(page, job):
    page.goto(job.get_absolute_url())
    expect(page.locator("#live-dot")).to_have_text("live")
    page.get_by_role("button", name="Stop and keep the SAE").click()
    job_set(job, done=60)
    page.wait_for_timeout(1500)  # the news arrive; the card waits, for htmx sends nothing from a form swapped away
    page.get_by_role("button", name="Yes").click()
    expect(page.locator(f"#job-{job.pk} .badge")).to_contain_text("stopping")
