"""The page of a feature and the trying of texts in a browser: walked by keys, judged before its label shows, filtered, copied;
a text's answer arrives by itself and its address shows it again.

The engine's answer is put into the rows; tests/engine/features/test_trying.py reads texts for real.
"""

import numpy as np
import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from apps.core.live.publishing import publish
from apps.features.models import Feature, TriedText
from apps.features.services import feature_label_set
from apps.jobs.models import Job
from tests.apps.features.worlds import finished_run_make, sae_make, try_result_make

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sae(transactional_db):
    sae = sae_make()
    finished_run_make(sae)
    feature_label_set(feature=sae.features.get(index=4), label="new lines", category="Layout > Breaks")
    return sae


def at(page: Page, sae, index: int, query: str = "") -> Page:
    page.goto(f"/features/sae/{sae.pk}/{index}/{query}")
    return page


def clipboard(page: Page) -> str:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return page.evaluate("navigator.clipboard.readText()")


def test_arrows_walk_the_features_and_keep_the_view(page: Page, sae):
    at(page, sae, 3, "?width=5")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/features/sae/{sae.pk}/4/?width=5")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/features/sae/{sae.pk}/3/?width=5")
    page.keyboard.press("]")
    page.wait_for_url("**width=16**")


def test_a_label_is_guessed_before_it_shows(page: Page, sae):
    at(page, sae, 4)
    expect(page.get_by_role("heading", level=1)).to_have_text("new lines")
    page.keyboard.press("h")
    expect(page.get_by_role("heading", level=1)).to_have_text("Feature 4")
    expect(page.locator("main")).not_to_contain_text("Layout")
    page.keyboard.press("e")
    page.keyboard.type("line breaks")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("You called it line breaks. Its label is new lines.")
    page.keyboard.press("Escape")
    page.locator("body").click(position={"x": 2, "y": 2})
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/features/sae/{sae.pk}/3/**")
    expect(page.get_by_text("What would you call it?")).to_be_visible()


def test_the_filter_hides_examples_says_so_and_shows_them_again(page: Page, sae):
    at(page, sae, 4)
    strips = page.locator("#examples ol.examples:not(details ol) [data-strip]")
    before = strips.count()
    page.locator("#reading summary").click()
    page.get_by_role("link", name="punctuation and blanks").click()
    page.wait_for_url("**hide=**punctuation**")
    expect(page.locator("#reading summary")).to_contain_text("hidden")
    expect(strips).to_have_count(0)
    page.locator("#reading summary").click()
    page.get_by_role("link", name="Show everything").click()
    expect(strips).to_have_count(before)


def test_a_feature_is_copied_as_markdown(page: Page, sae):
    at(page, sae, 4)
    page.get_by_role("button", name="Copy as…").click()
    page.get_by_role("button", name="Copy Markdown").click()
    assert clipboard(page).startswith("### [Feature 4: new lines](http://127.0.0.1")
    page.keyboard.press("Escape")
    expect(page.locator("#copies")).to_be_hidden()


def test_words_are_saved_in_place_and_the_star_by_a_key(page: Page, sae):
    at(page, sae, 3)
    page.keyboard.press("e")
    page.get_by_label("Label", exact=True).fill("bold type")
    page.get_by_role("button", name="Save words").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("bold type")
    page.locator("body").click(position={"x": 2, "y": 2})
    page.keyboard.press("*")
    expect(page.locator("#star-button")).to_have_attribute("aria-pressed", "true")
    assert sae.features.get(index=3).is_starred


def test_a_feature_is_tested_on_a_text_on_its_own_page(page: Page, sae):
    at(page, sae, 3)
    page.keyboard.press("t")
    page.keyboard.type("The wind")
    page.get_by_role("button", name="Read", exact=True).click()
    answer = page.locator("#answer")
    expect(answer).to_contain_text("Reading…")
    tried = TriedText.objects.get()
    assert tried.job.loaded_spec.watched == (3,)
    _answer(tried)
    expect(answer).to_contain_text("Feature 3, then the others, strongest first")
    assert page.url.endswith(f"/features/sae/{sae.pk}/3/")


def test_a_text_is_tried_and_its_address_shows_the_answer_again(page: Page, sae):
    page.goto(f"/features/try/?sae={sae.pk}")
    page.get_by_label("Text", exact=True).fill("The wind")
    page.get_by_role("button", name="Read").click()
    answer = page.locator("#answer")
    expect(answer).to_contain_text("Reading…")
    page.wait_for_url(f"**/features/try/{TriedText.objects.get().pk}/")
    _answer(TriedText.objects.get())
    expect(answer).to_contain_text("read in 0.3 s")
    expect(answer.get_by_role("link", name="5", exact=True)).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    address = clipboard(page)
    assert address.startswith("http://127.0.0.1")
    page.goto("/")
    page.goto(address)
    expect(page.locator("#answer")).to_contain_text("read in 0.3 s")
    assert TriedText.objects.count() == 1, "the same text is not read twice"


def test_thousands_of_features_are_drawn_on_the_page_of_the_sae(page: Page):
    """As SVG: faster ways to draw points compile code, which the page's security policy forbids."""
    large = sae_make(d_sae=6_000)
    run = finished_run_make(large)
    assert run.alive == 5_999
    places = np.stack(np.meshgrid(np.arange(100), np.arange(60)), -1).reshape(-1, 2)
    rows = list(large.features.order_by("index"))
    for row, (x, y) in zip(rows, places):
        row.density, row.maximum = 10 ** (-5 + x / 25), 10 ** (y / 20)
    Feature.objects.bulk_update(rows, ["density", "maximum"])
    page.goto(f"/saes/{large.pk}/")
    expect(page.locator("#feature-overview .scatterlayer .point")).to_have_count(6_000)


def _answer(tried: TriedText) -> None:
    """What the runner does when the warm child has answered."""
    Job.objects.filter(pk=tried.job.pk).update(state="succeeded")
    tried.report, tried.ready_at = try_result_make().to_json(), timezone.now()
    tried.save()
    publish(tried.topic)
