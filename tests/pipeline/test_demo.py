"""The demo at a reduced size, on SmolLM2 and real English, as a newcomer runs it."""

import json
import re
import zipfile

import pytest
from playwright.sync_api import sync_playwright
from sae_lens import SAE

from tests.crawling import crawl, links_of
from tests.pipeline.scratch import ScratchStudio

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    studio = ScratchStudio(tmp_path_factory.mktemp("demo"))
    studio.environment["MISTUDIO_MONITOR_INTERVAL_S"] = "30"
    return studio


@pytest.fixture(scope="module")
def figures(studio):
    """The last line of `demo --tokens 20000 --no-serve --json`."""
    done = studio.manage("demo", "--tokens", 20_000, "--no-serve", "--json", timeout_s=1700)
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_last_line_tells_every_figure(figures):
    assert {
        "tokens", "fvu", "l0", "ce_recovered", "features_alive", "steered_differs", "seconds", "urls",
    } == set(figures)  # fmt: skip


def test_the_figures_are_those_of_a_trained_sae(figures):
    assert 20_000 - 128 < figures["tokens"] <= 20_000  # whole contexts
    assert 0 < figures["fvu"] < 0.8
    assert 1 < figures["l0"] <= 32
    assert 0.3 < figures["ce_recovered"] < 1
    assert figures["features_alive"] > 200
    assert figures["steered_differs"] is True


def test_the_training_had_at_least_three_hundred_steps(studio, figures):
    run = studio.json("training_list")[0]
    assert run["steps"] >= 300
    assert run["step"] == run["steps"]


def test_pages_and_report_read_the_same_rows(studio, figures):
    sae = studio.json("sae_list")[0]
    assert sae["evaluation"]["fvu"] == figures["fvu"]
    assert sae["evaluation"]["ce_recovered"] == figures["ce_recovered"]
    assert sae["url"] == figures["urls"]["sae"]


def test_saelens_loads_what_was_exported(studio, figures, tmp_path):
    archive = max((studio.data_dir / "exports").rglob("*.zip"))
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    [cfg] = tmp_path.rglob("cfg.json")
    sae = SAE.load_from_disk(str(cfg.parent), device="cpu")
    assert (sae.cfg.d_in, sae.cfg.d_sae) == (576, 4608)


FEATURE_PAGE = re.compile(r"/features/sae/\d+/\d+/")
FEATURES_OPENED = 3
PAGES_OPENED = 120
LARGE_DOWNLOAD = re.compile(r"/api/v1/features/examples")
"""All examples of thousands of features, streamed: whether they begin is enough."""


def test_every_page_opens_in_a_browser_without_a_complaint(studio, figures):
    """The nearest pages by their links, each once; of the thousands of feature pages the first few."""
    faults, features = [], set()

    def is_wanted(address):
        feature = FEATURE_PAGE.match(address)
        if feature and len(features) < FEATURES_OPENED:
            features.add(feature[0])
        return not feature or feature[0] in features

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            studio.start()
            # by the name that the entry link has: a session belongs to its host
            context = browser.new_context(base_url=studio.url.replace("127.0.0.1", "localhost"))
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
            page.goto(studio.entry_url())

            def open_page(address):
                ask = context.request.head if LARGE_DOWNLOAD.match(address) else context.request.get
                answer = ask(address)
                if answer.status != 200:
                    faults.append(f"{answer.status} {address}")
                if not answer.headers["content-type"].startswith("text/html"):
                    return []
                text = answer.text()
                if "<html" in text:
                    page.goto(address)
                return [link for link in links_of(address, text) if is_wanted(link)]

            jobs = studio.json("job", "list")
            assert len(jobs) >= 9
            opened = crawl(open_page, ["/", *[job["url"] for job in jobs]], PAGES_OPENED)
            assert faults == []
            assert len(opened) == PAGES_OPENED
        finally:
            browser.close()
            studio.kill_all()
