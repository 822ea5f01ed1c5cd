"""The whole way by forms and clicks: text and a tiny model in, an SAE trained, a feature named, a model steered, a zip out.

The process tree is the real one (web server, workers, sampler), on a data folder of its own. The model has random
weights, so nothing is said about what its features mean; every step is one function that a user could follow.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocket, expect

from tests.engine.tiny_models import tiny_model_folder
from tests.pipeline.scratch import ScratchStudio
from tests.pipeline.tiny_pipeline import CONTEXT_LENGTH, text_file

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

JOB_MS = 240_000
"""Longest wait for a job: every child imports torch first, which takes a slow machine ten seconds and more."""
STEPS = 600
TRAINING = {
    "Latents (d_sae)": 256,
    "k": 8,
    "Steps": STEPS,
    "Batch size": 256,
    "Dead after": 20_000,
    "Log every": 5,
}
AT_STEP = re.compile(rf"([\d,]+) / {STEPS:,} steps")
LABEL, CATEGORY = "tokens of the walk", "Walk > First"


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Iterator[ScratchStudio]:
    """A running studio with an empty data folder."""
    studio = ScratchStudio(tmp_path_factory.mktemp("walk"))
    try:
        yield studio.start()
    finally:
        studio.kill_all()


class Walker:
    """A signed-in browser page, with what its console and its sockets said."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.frames: list[str] = []
        page.on("console", lambda message: self._complain(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._complain(str(error)))
        page.on("websocket", self._listen)

    def _complain(self, words: str) -> None:
        self.complaints.append(f"{self.page.url}: {words}")

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: self.frames.append(str(frame)))

    def heard(self, shown: Locator) -> int:
        """Frames so far that carried a fragment for this element."""
        name = shown.get_attribute("id")
        return sum(f'id="{name}"' in frame for frame in self.frames)

    def click(self, name: str, role: str = "link", within: str = "body") -> None:
        """Click the first link or button of this name, in the navigation or, within main, on the page itself."""
        self.page.locator(within).get_by_role(role, name=name, exact=True).first.click()

    def submit(self, button: str, fields: dict[str, object]) -> None:
        """Fill fields by their labels, unfolding the rarer ones, and send the form that has the button."""
        form = self.page.locator("form").filter(has=self.page.get_by_role("button", name=button, exact=True)).first
        form.evaluate("form => form.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
        for label, value in fields.items():
            field = form.get_by_label(re.compile(rf"^{re.escape(label)}( optional)?$"))
            if field.evaluate("element => element.tagName") == "SELECT":
                field.select_option(str(value))
            else:
                field.fill(str(value))
        form.get_by_role("button", name=button, exact=True).click()


@pytest.fixture(scope="module")
def walker(chromium: Browser, studio: ScratchStudio) -> Iterator[Walker]:
    """Signed in by the one-time address, which leads to the start page."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    context.set_default_timeout(30_000)
    walker = Walker(context.new_page())
    walker.page.goto(studio.entry_url())
    expect(walker.page.locator("#live-dot")).to_have_text("live")
    yield walker
    context.close()


def test_text_becomes_features_that_steer_the_model(walker: Walker, tmp_path: Path):
    language_model_import(walker, tmp_path)
    dataset_import(walker, tmp_path)
    tokenize(walker)
    activations_cache(walker)
    sae_train(walker)
    sae_read(walker)
    features_find(walker)
    feature_name(walker)
    feature_find_again(walker)
    model_steer(walker)
    sae_export(walker, tmp_path)
    assert walker.complaints == []


def language_model_import(walker: Walker, folder: Path) -> None:
    walker.click("Language models")
    walker.click("Import a language model")
    walker.submit("Import", {"From": "folder", "Path": tiny_model_folder(folder, "llama")})
    expect(walker.page.get_by_role("heading", name="Hook sites")).to_be_visible(timeout=JOB_MS)


def dataset_import(walker: Walker, folder: Path) -> None:
    walker.click("Datasets")
    walker.click("Import a dataset")
    walker.submit("Import", {"From": "file", "Path": text_file(folder)})
    expect(walker.page.get_by_role("heading", name="Rows", exact=True)).to_be_visible(timeout=JOB_MS)


def tokenize(walker: Walker) -> None:
    walker.click("Tokenize")
    walker.submit("Tokenize", {"Tokenizer of": "llama", "Context length": CONTEXT_LENGTH})
    expect(walker.page.get_by_role("heading", name="Contexts", exact=True)).to_be_visible(timeout=JOB_MS)


def activations_cache(walker: Walker) -> None:
    walker.click("Cache activations")
    walker.submit("Cache activations", {"Layer": 2, "Model precision": "float32"})
    expect(walker.page.get_by_text("Tokens kept")).to_be_visible(timeout=JOB_MS)


def sae_train(walker: Walker) -> None:
    """Progress arrives by itself; the page reloaded in the middle of the job shows where it stands."""
    page, card = walker.page, walker.page.locator("article.job-card")
    walker.click("Train an SAE")
    walker.submit("Start training", TRAINING)
    page.evaluate("window.unreloaded = true")
    expect(card).to_contain_text(AT_STEP, timeout=JOB_MS)
    seen = step_of(card)
    heard = walker.heard(card)
    assert heard > 0, "the step came over the socket"
    expect(card).not_to_contain_text(f" {seen:,} / ")
    assert page.evaluate("window.unreloaded"), "and the page was not loaded again"
    page.reload()
    expect(card).to_contain_text(re.compile(f"{AT_STEP.pattern}|succeeded after"))
    assert step_of(card) > seen
    expect(card).to_have_attribute("data-state", "succeeded", timeout=JOB_MS)
    assert walker.heard(card) > heard, "the new socket speaks of the job too"
    expect(page.locator(".chart .main-svg").first).to_be_visible()


def step_of(card: Locator) -> int:
    """The step that the card's progress words name; the last one on a machine so fast that all is done."""
    found = AT_STEP.search(card.inner_text())
    return int(found[1].replace(",", "")) if found else STEPS


def sae_read(walker: Walker) -> None:
    """The SAE exists, and its evaluation comes in while its page is open."""
    walker.page.get_by_role("link", name=re.compile(r"\(SAE \d+\)$")).click()
    expect(walker.page.get_by_text("on held-out documents of")).to_be_visible(timeout=JOB_MS)
    assert 0 < measured(walker.page, "FVU") < 1
    assert 0 < measured(walker.page, "L0") <= TRAINING["k"]


def measured(page: Page, label: str) -> float:
    """One measurement of the page, rounded to three digits as it is shown."""
    name = page.locator("dt", has_text=re.compile(rf"^\s*{label}\?"))
    return float(page.locator(".metric").filter(has=name).locator(".metric-value").inner_text())


def features_find(walker: Walker) -> None:
    walker.click("Features", within="main")
    walker.click("Find features")
    walker.submit("Find features", {})
    expect(walker.page.get_by_text("features fire in")).to_be_visible(timeout=JOB_MS)


def feature_name(walker: Walker) -> None:
    """The strongest feature gets a label, a category and a star, each saved in place."""
    page = walker.page
    walker.click("Max")
    page.locator("tr[data-row] th a").first.click()
    expect(page.get_by_role("heading", name="Strongest")).to_be_visible()
    page.get_by_label("Label", exact=True).fill(LABEL)
    page.get_by_label("Category", exact=True).fill(CATEGORY)
    walker.click("Save words", role="button")
    expect(page.get_by_role("heading", level=1)).to_contain_text(LABEL)
    walker.click("Star", role="button")
    expect(page.get_by_role("button", name="Starred")).to_have_attribute("aria-pressed", "true")


def feature_find_again(walker: Walker) -> None:
    """The search narrows the list to it while typing."""
    page = walker.page
    page.get_by_label("Breadcrumbs").get_by_role("link", name="Features").click()
    page.get_by_label("Search").press_sequentially(LABEL)
    expect(page.locator("tr[data-row]")).to_have_count(1)
    row = page.locator("tr[data-row]")
    expect(row).to_contain_text(CATEGORY)
    expect(row.get_by_role("button", name="Star feature")).to_have_attribute("aria-pressed", "true")
    row.get_by_role("link").first.click()


def model_steer(walker: Walker) -> None:
    """Both texts stand side by side, and what was added to the activation was measured."""
    page = walker.page
    maximum = measured(page, "Max activation")
    walker.click("Steer", within="main")
    strength = page.get_by_role("spinbutton", name=re.compile("Strength of feature"))
    strength.fill("8")
    walker.submit("Generate both texts", {"Prompt": "The cat", "Strength in": "max_activation", "New tokens": 20})
    for title in ("Baseline", "Steered"):
        expect(page.get_by_role("region", name=title)).to_contain_text("The cat", timeout=JOB_MS)
    expect(page.locator("tbody td", has_text="× max")).to_contain_text("8 × max")
    assert measured(page, "Added length ‖Δ‖") == pytest.approx(8 * maximum, rel=0.02)
    expect(page.get_by_role("region", name="Steered").locator("mark").first).to_be_visible()


def sae_export(walker: Walker, folder: Path) -> None:
    """The archive that the browser saves is the one that SAELens users need."""
    page = walker.page
    page.locator("p.lead").get_by_role("link").click()
    walker.click("Export")
    walker.submit("Pack", {})
    link = page.get_by_role("link", name=re.compile("^Download"))
    expect(link).to_be_visible(timeout=JOB_MS)
    with page.expect_download() as download:
        link.click()
    archive = folder / "sae.zip"
    download.value.save_as(archive)
    with zipfile.ZipFile(archive) as packed:
        names = {Path(name).name for name in packed.namelist()}
        assert packed.testzip() is None
    assert {"cfg.json", "sae_weights.safetensors"} <= names
