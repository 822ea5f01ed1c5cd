"""The frame of every page: theme, keys, narrow screens, no request refused by the content security policy."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def ground(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_chosen_theme_is_there_at_the_next_first_paint(page):
    page.emulate_media(color_scheme="dark")
    page.goto("/jobs/")
    dark = ground(page)
    page.get_by_role("button", name="Light theme").click()
    light = ground(page)
    assert light != dark
    assert 'data-theme="light"' in page.request.get("/jobs/").text(), "the server renders it"
    page.reload()
    assert ground(page) == light


def test_without_a_choice_the_system_decides(page):
    page.emulate_media(color_scheme="light")
    page.goto("/jobs/")
    light = ground(page)
    page.emulate_media(color_scheme="dark")
    assert ground(page) != light


def test_keys_help_and_go_and_can_be_switched_off(page):
    page.goto("/settings/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/jobs/")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("?gj")
    expect(page.get_by_role("searchbox")).to_have_value("?gj")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Single-key shortcuts on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize("path", ["/jobs/", "/settings/"])
def test_nothing_sticks_out_of_a_narrow_screen(page, path):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_text("Menu").click()
    expect(page.get_by_role("link", name="Datasets")).to_be_visible()


def test_the_policy_refuses_nothing_the_page_needs(page):
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    page.goto("/jobs/")
    expect(page.locator("#live-dot")).to_have_text("live")
    assert refused == []


def test_the_first_tab_stop_skips_to_the_content(page):
    page.goto("/jobs/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_what_takes_something_away_asks_first(page):
    page.goto("/settings/")
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Make a token").click()
    page.get_by_role("button", name="Revoke laptop").click()
    asked = page.get_by_role("dialog", name="Please confirm")
    expect(asked).to_contain_text("Revoke the token laptop?")
    asked.get_by_role("button", name="No, go back").click()
    expect(page.get_by_role("button", name="Revoke laptop")).to_be_visible()
    page.get_by_role("button", name="Revoke laptop").click()
    asked.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("No tokens yet.")).to_be_visible()
