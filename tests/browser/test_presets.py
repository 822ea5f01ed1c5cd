"""Templates in a browser: a form is saved as one, compared while it is edited, replaced, loaded, exported and imported."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from apps.presets.models import Preset
from tests.apps.features.worlds import sae_make

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def form(page: Page) -> Page:
    """The form of a feature run, its picker there."""
    sae = sae_make()
    page.goto(f"/features/new/?sae={sae.pk}")
    expect(picker(page)).to_contain_text("Save this form as a template")
    return page


def picker(page: Page):
    return page.get_by_role("region", name="Templates")


def save_as(page: Page, name: str) -> None:
    details = page.locator("#preset-save")
    if not details.evaluate("element => element.open"):
        details.locator("summary").click()
    page.get_by_label("Name of the template").fill(name)
    page.get_by_role("button", name="Save", exact=True).click()


def test_a_form_is_saved_compared_and_loaded_again(form: Page):
    form.get_by_label("Top examples").fill("77")
    save_as(form, "many")
    expect(picker(form)).to_contain_text("Saved as “many”.")
    expect(form.locator("#preset-diff")).to_contain_text("As the template “many” says.")
    form.get_by_label("Top examples").fill("5")
    expect(form.locator("#preset-diff")).to_contain_text("Top examples 77 → 5")
    tokenization = form.locator("select[name=tokenization] option").nth(1).get_attribute("value")
    form.get_by_label("Tokenization").select_option(tokenization)
    form.get_by_role("button", name="Load", exact=True).click()
    form.wait_for_url("**preset=*")
    expect(form.get_by_label("Top examples")).to_have_value("77")
    expect(form.get_by_label("Tokenization")).to_have_value(tokenization)
    assert Preset.objects.get(name="many").use_count == 1


def test_replacing_shows_what_it_changes_and_asks(form: Page):
    save_as(form, "mine")
    expect(picker(form)).to_contain_text("Saved as “mine”.")
    form.get_by_label("Top examples").fill("9")
    save_as(form, "mine")
    expect(picker(form).get_by_role("alert")).to_contain_text("Top examples 20 → 9")
    form.get_by_role("button", name="Replace it").click()
    expect(picker(form)).to_contain_text("“mine” was replaced.")
    assert Preset.objects.get(name="mine").spec["top_examples"] == 9


def test_a_value_that_cannot_be_used_is_said_and_what_was_typed_stays(form: Page):
    form.get_by_label("Top examples").fill("0")
    save_as(form, "bad")
    expect(picker(form).get_by_role("alert")).to_contain_text("Top examples: The least allowed is 1.")
    expect(form.get_by_label("Name of the template")).to_have_value("bad")
    expect(form.get_by_label("Top examples")).to_have_value("0")


def test_a_template_leaves_as_a_file_and_comes_back_under_the_next_name(form: Page, tmp_path: Path):
    save_as(form, "traveller")
    expect(picker(form)).to_contain_text("Saved as")
    form.goto("/presets/?q=traveller")
    form.get_by_role("checkbox", name="Export traveller").check()
    with form.expect_download() as started:
        form.get_by_role("button", name="Export chosen").click()
    file = tmp_path / "template.json"
    started.value.save_as(file)
    assert json.loads(file.read_text())["name"] == "traveller"
    form.get_by_role("link", name="Import").click()
    form.get_by_label("File").set_input_files(file)
    form.get_by_role("button", name="Import").click()
    expect(form.get_by_role("heading", level=1)).to_have_text("traveller 2")


def test_a_star_puts_a_template_first_and_survives_a_reload(page: Page):
    page.goto("/presets/?kind=training")
    last = page.locator("tr[data-row]").last.get_by_role("link").inner_text()
    star = page.get_by_role("button", name=f"Favourite {last}")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.locator("tr[data-row]").first).to_contain_text(last)
