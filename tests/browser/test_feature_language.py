"""Words and language on the page of a feature: keys change the address, and what a job finds arrives without a reload."""

import re

import pytest
from playwright.sync_api import expect

from apps.core.live.publishing import publish
from apps.features.models import LanguageAnalysis
from tests.apps.features.worlds import finished_run_make, language_finish, sae_make

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_key_w_shows_words_and_tokens_again(page):
    sae = sae_make()
    finished_run_make(sae)
    page.goto(f"/features/sae/{sae.pk}/5/")
    page.keyboard.press("w")
    expect(page).to_have_url(re.compile("words=1"))
    expect(page.get_by_text("A word has the tint of its strongest token")).to_be_visible()
    page.keyboard.press("w")
    expect(page).not_to_have_url(re.compile("words=1"))


def test_the_language_of_a_feature_arrives_without_a_reload(page):
    sae = sae_make()
    finished_run_make(sae)
    page.goto(f"/features/sae/{sae.pk}/5/?width=full")
    page.keyboard.press("l")
    expect(page).to_have_url(re.compile("width=full&panel=language"))
    page.get_by_role("button", name="Analyse this feature").click()
    analysis = None
    for _ in range(100):
        analysis = LanguageAnalysis.objects.first()
        if analysis is not None:
            break
        page.wait_for_timeout(100)
    expect(page.locator(f"#language-analysis-{analysis.pk}")).to_contain_text("queued")
    page.evaluate("window.isSameDocument = true")
    language_finish(analysis)
    publish(analysis.topic)
    expect(page.get_by_text("Peaks mostly on “wind”")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("button", name="Analyse again")).to_be_visible()
    assert page.evaluate("window.isSameDocument")
