"""A language model's page in a browser: hook sites are chosen by mouse and keys, memory follows the settings."""

import re

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from apps.core.live.publishing import publish
from tests.apps.language_models.test_lookup import found_make
from tests.apps.prepared import make_cache, make_language_model

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_click_on_a_hook_site_leads_to_the_filled_in_form(page):
    cache = make_cache()
    page.goto(cache.language_model.get_absolute_url())
    page.locator("#site-1-resid_post").click()
    part = page.locator("#site")
    expect(part.get_by_role("heading", name="1.resid_post")).to_be_visible()
    expect(page.locator("#site-1-resid_post")).to_have_attribute("aria-current", "true")
    assert page.url.endswith("?layer=1&site=resid_post")
    part.get_by_role("link", name="Train an SAE here").click()
    expect(page.get_by_label("Activation cache")).to_have_value(str(cache.pk))


def test_a_hook_site_is_chosen_by_keys_and_without_a_cache_offers_to_train_from_text(page):
    language_model = make_language_model()
    page.goto(language_model.get_absolute_url())
    node = page.locator("#site-1-mlp_out")
    node.focus()
    page.keyboard.press("Enter")
    train = page.locator("#site").get_by_role("link", name="Train an SAE here")
    expect(train).to_have_attribute("href", re.compile("source=text.*hook_sites=1.mlp_out"))
    link = page.locator("#site").get_by_role("link", name="Cache activations", exact=True)
    query = f"language_model={language_model.pk}&layer=1&site=mlp_out"
    assert link.get_attribute("href") == f"{reverse('activations:new')}?{query}"
    page.go_back()
    expect(page.locator("#site")).to_contain_text("Choose a hook site")


def test_memory_follows_the_settings_without_a_reload(page):
    page.goto(make_language_model().get_absolute_url())
    bars = page.locator("#what-if-bars")
    expect(bars).to_contain_text("Largest d_sae that can be trained here")
    page.evaluate("window.isSamePage = true")
    before = bars.locator(".memory-line").nth(1).inner_text()
    page.get_by_label("SAE width, d_sae").fill("8192")
    expect(bars.locator(".memory-line").nth(1)).not_to_have_text(before, use_inner_text=True)
    page.get_by_label("Layer", exact=True).fill("99")
    expect(bars).to_contain_text("no layer 99")
    assert page.evaluate("window.isSamePage")


def test_the_answer_of_the_hub_appears_and_fills_in_the_import(page):
    lookup = found_make()
    type(lookup).objects.filter(pk=lookup.pk).update(ready_at=None)
    page.goto(lookup.get_absolute_url())
    expect(page.locator("#live-dot")).to_have_text("live")
    expect(page.locator(f"#lookup-{lookup.pk}")).to_contain_text("Look up language model")
    page.wait_for_timeout(1000)  # the replay on connect is no news
    type(lookup).objects.filter(pk=lookup.pk).update(ready_at=lookup.ready_at)
    publish(lookup.topic)
    expect(page.locator(f"#lookup-{lookup.pk}")).to_contain_text("recommended")
    expect(page.locator("#import").get_by_label("Revision")).to_have_value("abc123")
