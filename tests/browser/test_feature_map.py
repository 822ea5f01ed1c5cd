"""The map of features in a browser: drawn, hovered, searched, and left by a click or a lasso."""

import pytest
from playwright.sync_api import expect

from apps.features.services import feature_label_set
from tests.apps.features.map_worlds import map_make
from tests.apps.features.worlds import described_sae_make

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sae(transactional_db):
    sae = described_sae_make()
    feature_label_set(feature=sae.features.get(index=4), label="<b>wind</b>", category="Weather")
    map_make(sae, is_ready=True)
    return sae


def place(page, index):
    """Where a feature is drawn, in pixels of the window."""
    expect(page.locator("[data-map-tools]")).to_be_visible()
    return page.evaluate(
        """index => {
            const { map } = featureMap, at = map.points.index.indexOf(index);
            const [x, y] = map.screen(map.points.x[at], map.points.y[at]), box = map.canvas.getBoundingClientRect();
            return [box.left + x, box.top + y];
        }""",
        index,
    )


def colour_at(page, index):
    """The colour drawn at a feature's place, as [r, g, b, alpha]."""
    x, y = place(page, index)
    return page.evaluate(
        """([x, y]) => {
            const { map } = featureMap, box = map.canvas.getBoundingClientRect();
            return [...map.pen.getImageData(Math.round(x - box.left), Math.round(y - box.top), 1, 1).data];
        }""",
        [x, y],
    )


def test_a_point_says_what_it_is_and_a_click_opens_it(page, sae):
    page.goto(f"/features/sae/{sae.pk}/map/")
    x, y = place(page, 4)
    page.mouse.move(x + 3, y)
    card = page.locator(".map-card")
    expect(card).to_contain_text("Feature 4")
    expect(card).to_contain_text("<b>wind</b>")
    page.mouse.move(x, y - 100)
    expect(card).to_be_hidden()
    page.mouse.click(x, y)
    expect(page).to_have_url(f"{page.url.partition('/features')[0]}/features/sae/{sae.pk}/4/")


@pytest.mark.parametrize("tool", ["lasso", "box"])
def test_what_is_drawn_around_points_is_listed(page, sae, tool):
    page.goto(f"/features/sae/{sae.pk}/map/")
    (left, y), (right, _) = place(page, 3), place(page, 4)
    page.get_by_role("button", name=tool, exact=True).click()
    corners = [(left - 20, y - 30), (right + 20, y - 30), (right + 20, y + 30), (left - 20, y + 30)]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:] if tool == "lasso" else corners[2:3]:
        page.mouse.move(*corner, steps=4)
    page.mouse.up()
    expect(page.get_by_text("2 features match")).to_be_visible()
    expect(page.locator("#features tbody th > a")).to_have_text(["3", "4"])
    page.locator("#feature-filters").get_by_role("link", name="the map").click()
    expect(page.get_by_text("2 features match; the others are grey.")).to_be_visible()


def test_moving_and_zooming_keep_the_point_under_the_pointer(page, sae):
    page.goto(f"/features/sae/{sae.pk}/map/")
    x, y = place(page, 4)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    assert place(page, 4) == pytest.approx([x, y], abs=1)
    assert place(page, 3)[0] < x
    page.get_by_role("button", name="move", exact=True).click()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 50, y + 20, steps=3)
    page.mouse.up()
    assert place(page, 4) == pytest.approx([x - 50, y + 20], abs=1)
    page.get_by_role("button", name="whole map").click()
    assert place(page, 4) == pytest.approx([x, y], abs=1)


def test_what_the_search_leaves_out_is_grey_and_colours_follow_the_theme(page, sae):
    page.emulate_media(color_scheme="light")
    page.goto(f"/features/sae/{sae.pk}/map/?labelled=yes")
    found, grey = colour_at(page, 4), colour_at(page, 2)
    assert found[3] > 150 and grey[3] < 150
    expect(page.locator("[data-map-legend]")).to_contain_text("Grey: no match.")
    page.get_by_role("button", name="Dark theme").click()
    page.wait_for_timeout(300)
    assert colour_at(page, 4)[:3] != found[:3]


def test_a_filter_that_cannot_be_read_is_said_in_place_of_the_map(page, sae):
    page.goto(f"/features/sae/{sae.pk}/map/?colour=taste")
    expect(page.locator("[data-map-says]")).to_contain_text("colour='taste' is not known.")
