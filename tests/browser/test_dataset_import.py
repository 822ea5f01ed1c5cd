"""A dataset from a Hub on loopback, in a browser: looked up, a split picked, imported with live progress, filtered."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.hub.datasets import REPO_ID, ROWS, stories_folder
from tests.hub.server import Hub
from tests.pipeline.scratch import ScratchStudio

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

JOB_MS = 120_000


@pytest.fixture
def shown(hub: Hub, chromium: Browser, tmp_path) -> Iterator[Page]:
    """A signed-in page of a running studio whose jobs ask the Hub of this test; its files come slowly."""
    repository = hub.add(REPO_ID, stories_folder(tmp_path / "stories"), kind="dataset")
    repository.slow("all/train-*", seconds_per_kib=0.002)
    (tmp_path / "data").mkdir()
    studio = ScratchStudio(tmp_path / "data")
    studio.environment |= {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf-home")}
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    try:
        studio.start()
        page = context.new_page()
        page.goto(studio.entry_url())
        expect(page.locator("#live-dot")).to_have_text("live")
        yield page
    finally:
        context.close()
        studio.kill_all()


def test_a_dataset_is_looked_up_imported_and_filtered_by_a_bar(shown: Page):
    look_up(shown)
    split_pick(shown)
    import_watch(shown)
    bar_click(shown)


def look_up(page: Page) -> None:
    """The answer of the Hub appears by itself, and the form offers what was found."""
    page.get_by_role("link", name="Datasets", exact=True).first.click()
    page.get_by_role("link", name="Import a dataset", exact=True).first.click()
    page.get_by_label("Repository").first.fill(REPO_ID)
    page.get_by_role("button", name="Look up", exact=True).click()
    said = page.get_by_role("region", name="What the Hub says")
    expect(said).to_contain_text(re.compile(r"Licence\s*mit"), timeout=JOB_MS)
    expect(said.get_by_role("table").last).to_contain_text("row 0 ")
    expect(page.get_by_role("heading", name=f"Import {REPO_ID}")).to_be_visible()


def split_pick(page: Page) -> None:
    """Another configuration is looked up when it is chosen; the first has two splits."""
    page.get_by_label("Configuration").select_option("short")
    page.wait_for_url(re.compile(r"lookup=2"))
    said = page.get_by_role("region", name="What the Hub says")
    expect(said.get_by_role("table").last).to_contain_text("one", timeout=JOB_MS)
    expect(page.locator("select[name=config]")).to_have_value("short", timeout=JOB_MS)
    page.get_by_label("Configuration").select_option("all")
    page.wait_for_url(re.compile(r"lookup=3"))
    splits = page.get_by_label("Split").locator("option")
    expect(splits).to_have_count(2, timeout=JOB_MS)
    expect(splits.first).to_contain_text("6,000 rows")
    page.get_by_label("Split").select_option("train")


def import_watch(page: Page) -> None:
    """Progress moves while the page stays, until the rows are there."""
    page.get_by_role("button", name="Import", exact=True).click()
    card = page.locator("article.job-card")
    expect(card).to_have_attribute("data-state", "running", timeout=JOB_MS)
    page.evaluate("window.unreloaded = true")
    expect(card).to_contain_text(re.compile(r"[1-9][\d,]* (/ [\d,]+ )?(rows|bytes|B|KiB)"), timeout=JOB_MS)
    expect(page.get_by_role("heading", name="Rows", exact=True)).to_be_visible(timeout=JOB_MS)
    assert page.evaluate("window.unreloaded")


def bar_click(page: Page) -> None:
    """A bar leads to its rows; the chip takes the filter away."""
    bar = page.get_by_role("link", name=re.compile(r"^length .* rows$")).first
    count = int(re.search(r"(\d+) rows$", bar.get_attribute("aria-label"))[1])
    bar.click()
    chip = page.get_by_role("link", name=re.compile("^Take away the filter length"))
    expect(chip).to_be_visible()
    expect(page.locator("tr[data-row]")).to_have_count(min(count, 100))
    chip.click()
    expect(page.get_by_label("Pages of rows")).to_contain_text(f"of {2 * ROWS:,}")
