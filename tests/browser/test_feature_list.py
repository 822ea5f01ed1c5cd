"""The feature list in a browser: walked by keys, peeked into, labelled, starred, searched, and changed many at once."""

import pytest
from playwright.sync_api import Page, expect

from apps.features.models import Collection
from tests.apps.features.worlds import finished_run_make, sae_make

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def sae(transactional_db):
    sae = sae_make(d_sae=60)
    finished_run_make(sae)
    return sae


@pytest.fixture
def listed(page: Page, sae) -> Page:
    """The list of sixty features, strongest first, the first row current."""
    page.goto(f"/features/sae/{sae.pk}/?sort=maximum")
    page.keyboard.press("j")
    return page


def current(page: Page):
    return page.locator("tr[data-current]")


def test_j_and_k_walk_the_rows_and_enter_opens_one(listed: Page, sae):
    expect(current(listed)).to_contain_text("59")
    listed.keyboard.press("j")
    listed.keyboard.press("j")
    listed.keyboard.press("k")
    expect(current(listed)).to_contain_text("58")
    listed.keyboard.press("Enter")
    listed.wait_for_url(f"**/features/sae/{sae.pk}/58/")


def test_space_peeks_at_the_row_and_closes_again(listed: Page):
    peek = listed.locator("#peek-59")
    listed.keyboard.press(" ")
    expect(peek).to_contain_text("Promotes")
    expect(peek.locator("[data-strip]")).to_have_count(2)
    expect(listed.get_by_role("button", name="Peek at feature 59")).to_have_attribute("aria-expanded", "true")
    listed.keyboard.press("j")
    expect(current(listed)).to_contain_text("58")
    listed.keyboard.press("k")
    listed.keyboard.press(" ")
    expect(peek).to_have_count(0)
    expect(listed.get_by_role("button", name="Peek at feature 59")).to_have_attribute("aria-expanded", "false")


def test_e_edits_the_label_and_escape_goes_back_to_the_row(listed: Page, sae):
    listed.keyboard.press("e")
    label = listed.get_by_label("Label", exact=True).and_(listed.locator("#peek-59 input"))
    expect(label).to_be_focused()
    label.fill("jackal")
    label.press("Enter")
    expect(listed.locator("#peek-59")).to_contain_text("Saved.")
    expect(current(listed)).to_contain_text("jackal")
    listed.locator("#peek-59 input[name=category]").press("Escape")
    expect(listed.locator("#peek-59")).to_have_count(0)
    listed.keyboard.press("j")
    expect(current(listed)).to_contain_text("58")
    assert sae.features.get(index=59).label == "jackal"


def test_the_star_key_stars_the_row_and_slash_searches(listed: Page, sae):
    listed.keyboard.press("*")
    star = listed.get_by_role("button", name="Star feature 59")
    expect(star).to_have_attribute("aria-pressed", "true")
    listed.keyboard.press("j")
    expect(current(listed)).to_contain_text("58")
    assert sae.features.get(index=59).is_starred
    listed.keyboard.press("/")
    expect(listed.get_by_role("searchbox")).to_be_focused()
    listed.keyboard.type("token:wind")
    expect(listed.locator("#features [role=status]").first).to_contain_text("7 features match")
    expect(listed.locator("tr[data-row]")).to_have_count(7)
    assert "query=token%3Awind" in listed.url


def test_the_dialog_of_keys_names_those_of_rows(listed: Page):
    listed.keyboard.press("?")
    for words in ("Peek at the row", "Star the row", "Choose the row", "Edit the row's label"):
        expect(listed.get_by_role("dialog")).to_contain_text(words)


def test_rows_are_chosen_by_key_and_put_into_a_collection(listed: Page, sae):
    words = listed.get_by_label("Words")
    expect(words).to_be_hidden()
    listed.keyboard.press("x")
    listed.keyboard.press("j")
    listed.keyboard.press("x")
    listed.get_by_label("With the chosen features").select_option("add to the collection")
    words.fill("strong ones")
    listed.get_by_role("button", name="Apply").click()
    expect(listed.get_by_text("2 features added to the collection")).to_be_visible()
    assert Collection.objects.get().parts.get().features.tolist() == [58, 59]
    assert "sort=maximum" in listed.url


def test_the_box_in_the_head_ticks_the_page_and_all_that_match_goes_beyond_it(listed: Page, sae):
    listed.get_by_label("Choose all features of this page").check()
    assert listed.locator("input[name=chosen]:checked").count() == 50
    listed.get_by_role("button", name="Apply").click()
    expect(listed.get_by_text("50 features changed.")).to_be_visible()
    assert sae.features.filter(is_starred=True).count() == 50
    expect(listed.get_by_role("button", name="Apply")).to_be_hidden()
    listed.get_by_label("Choose all features of this page").check()
    listed.get_by_label("all 60 that match").check()
    listed.get_by_role("button", name="Apply").click()
    expect(listed.get_by_text("60 features changed.")).to_be_visible()
    assert sae.features.filter(is_starred=True).count() == 60


def test_a_changed_filter_asks_for_the_list_alone_and_the_actions_follow_it(listed: Page, sae):
    listed.get_by_text("Filters", exact=True).click()
    listed.get_by_label("Max activation from").fill("55")
    listed.get_by_label("Max activation from").press("Enter")
    expect(listed.locator("tr[data-row]")).to_have_count(5)
    listed.get_by_label("Choose all features of this page").check()
    listed.get_by_label("all 5 that match").check()
    listed.get_by_role("button", name="Apply").click()
    expect(listed.get_by_text("5 features changed.")).to_be_visible()
    assert list(sae.features.filter(is_starred=True).values_list("index", flat=True)) == [55, 56, 57, 58, 59]


def test_the_address_of_a_search_holds_only_what_was_asked(listed: Page, sae):
    listed.keyboard.press("/")
    listed.keyboard.type("wind")
    listed.wait_for_url(f"**/features/sae/{sae.pk}/?query=wind&sort=maximum")
    expect(listed.locator("#features")).to_contain_text("match")


def test_rows_begin_near_the_top_of_the_page(listed: Page):
    listed.set_viewport_size({"width": 1280, "height": 800})
    assert listed.locator("tr[data-row]").first.bounding_box()["y"] < 290


def test_on_a_phone_a_row_shows_its_name_below_the_number_and_nothing_beyond_the_edge(listed: Page):
    listed.set_viewport_size({"width": 390, "height": 800})
    row = listed.locator("tr[data-row]").nth(1)
    expect(row.locator(".row-name")).to_be_visible()
    expect(row.locator(".gloss")).to_be_hidden()
    assert row.locator("[data-peek]").bounding_box()["x"] < 366
    assert row.bounding_box()["height"] < 100
