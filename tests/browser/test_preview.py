"""The preview beside the tokenize form: it follows the form and arrives by the socket, without a reload.

The engine's answer is written by the test in the worker's place: what is walked here is form, socket and page.
"""

import pytest
from playwright.sync_api import expect

from apps.core.live.publishing import publish
from apps.datasets.models import TokenPreview
from apps.jobs.models import Job
from tests.apps.prepared import make_dataset, make_language_model, preview_result
from workers.runners.registry import runner_for

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WAIT_MS = 15_000


def preview_answer(page, *, after: int) -> TokenPreview:
    """Finish the preview that the page asks for next, as the supervisor does."""
    for _ in range(WAIT_MS // 100):
        found = TokenPreview.objects.filter(pk__gt=after).first()
        if found is not None:
            break
        page.wait_for_timeout(100)
    else:
        pytest.fail("the page asked for no preview")
    expect(page.locator(f"#token-preview-{found.pk}")).to_be_attached()
    job = found.job
    spec = job.loaded_spec
    runner_for(job.kind).finish(job, spec, preview_result(is_strict=spec.takes_tokens_out), "")
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    publish(found.topic)
    return found


def test_a_strict_filter_strikes_tokens_through_without_a_reload(page):
    make_language_model()
    dataset = make_dataset()
    page.goto(f"/datasets/{dataset.pk}/tokenize/")
    page.evaluate("window.isSameDocument = true")
    first = preview_answer(page, after=0)
    preview = page.locator("#preview")
    expect(preview.get_by_text("5 kept, 0 filtered")).to_be_visible()
    expect(preview.locator("del.token")).to_have_count(0)
    expect(page.get_by_text("takes tokens out of the text")).to_have_count(0)

    page.get_by_text("Advanced options").click()
    page.get_by_label("Token filter").select_option("strict")
    expect(page.get_by_text("takes tokens out of the text")).to_be_visible()
    second = preview_answer(page, after=first.pk)
    assert second.job.loaded_spec.token_filter == "strict"
    expect(preview.locator("del.token")).to_have_count(1)
    expect(preview.locator("del.token")).to_contain_text("taken out")
    expect(preview.get_by_text("dropped: fewer tokens than the minimum")).to_be_visible()
    assert page.evaluate("window.isSameDocument")


def test_next_row_is_asked_for_by_its_button_and_the_drawing_follows_the_form(page):
    make_language_model()
    dataset = make_dataset()
    page.goto(f"/datasets/{dataset.pk}/tokenize/")
    first = preview_answer(page, after=0)
    page.get_by_role("button", name="Next").click()
    second = preview_answer(page, after=first.pk)
    assert second.job.loaded_spec.first_row == 1
    expect(page.get_by_label("Row", exact=True)).to_have_value("1")
    page.get_by_label("Contexts", exact=True).select_option("document")
    expect(page.get_by_text("Each document begins a context of its own")).to_be_visible()
