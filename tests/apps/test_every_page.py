"""Every page of a studio with one of everything opens."""

import re

import pytest

from apps.jobs.models import Job
from tests.apps.everything import everything_make
from tests.crawling import crawl, links_of
from workers.engine.specs.kinds import SPECS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]

ALIKE = re.compile(r"/features/sae/\d+/[1-4]/|/api/v1/features/[2-5]$")
"""Features like feature 5, whose pages are opened."""
LOST = re.compile(r"/features/sae/\d+/\d+/others/")
"""410: this world's SAEs have no weights on disk."""


def test_every_link_of_every_page_opens(client_in):
    everything_make()
    faults = []

    def open_page(address):
        answer = client_in.get(address)
        if answer.status_code == 302:
            return [answer.headers["Location"]]
        if answer.status_code != 200 and not (answer.status_code == 410 and LOST.fullmatch(address)):
            faults.append(f"{answer.status_code} {address}")
        is_page = not answer.streaming and answer.headers["Content-Type"].startswith("text/html")
        return [link for link in links_of(address, answer.text) if not ALIKE.match(link)] if is_page else []

    jobs = Job.objects.all()
    assert {job.kind for job in jobs} == set(SPECS)
    crawl(open_page, ["/", *[job.get_absolute_url() for job in jobs]])
    assert faults == []
