"""The navigation: every entry leads somewhere, and each page marks exactly the entry that it belongs to."""

import re

import pytest

from apps.core.context_processors import NAVIGATION
from tests.apps.features.worlds import described_sae_make

pytestmark = pytest.mark.django_db
WIDE = re.compile(r'<nav class="nav-wide".*?</nav>', re.DOTALL)


def current(client, url: str) -> list[str]:
    page = WIDE.search(client.get(url).text)[0]
    return re.findall(r'href="([^"]+)" aria-current="page"', page)


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("/features/", "/features/"),
        ("/features/try/", "/features/try/"),
        ("/features/collections/", "/features/collections/"),
        ("/features/collections/new/", "/features/collections/"),
        ("/features/sae/{sae}/", "/features/"),
        ("/features/sae/{sae}/3/", "/features/"),
        ("/features/sae/{sae}/map/", "/features/"),
        ("/saes/{sae}/", "/saes/"),
        ("/", "/"),
        ("/settings/", "/settings/"),
    ],
)
def test_a_page_marks_its_entry_and_no_other(client_in, url, entry):
    sae = described_sae_make()
    assert current(client_in, url.format(sae=sae.pk)) == [entry]


def test_every_entry_has_a_key_of_its_own():
    keys = [item.key for _, items in NAVIGATION for item in items]
    assert len(set(keys)) == len(keys)
