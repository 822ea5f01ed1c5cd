"""GET /live/: what the page asks for when its socket is silent, and the registry behind it and the socket."""

import pytest

from apps.core.live import rendering
from apps.core.live.topics import ENTITIES, SYSTEM, SYSTEM_PARTS
from apps.jobs.models import Job

pytestmark = pytest.mark.django_db


def test_a_poll_gives_the_fragments_of_the_socket(client_in):
    job = Job.objects.create(kind="train", queue="gpu", title="Train", priority=50, spec={}, state="paused")
    html = client_in.get(f"/live/?topic=jobs/all&topic=jobs/{job.pk}&topic=jobs/999").content.decode()
    assert 'id="jobs-active-wide"' in html and f'id="job-{job.pk}"' in html and "job-999" not in html


def test_a_poll_of_an_unknown_topic_is_refused(client_in):
    assert client_in.get("/live/?topic=secrets/1").status_code == 400


def test_a_poll_needs_a_sign_in(client):
    assert client.get("/live/?topic=jobs/all").status_code == 302


def test_an_expired_session_sends_a_polling_page_to_the_sign_in(client):
    assert "/sign-in/" in client.get("/live/?topic=jobs/all", headers={"HX-Request": "true"}).headers["HX-Redirect"]


@pytest.mark.parametrize("topic", [f"{entity}/7" for entity in ENTITIES] + [f"{SYSTEM}/{p}" for p in SYSTEM_PARTS])
def test_every_topic_of_the_list_has_a_renderer_that_survives_a_missing_row(topic):
    assert rendering.is_known(topic)
    assert rendering.fragment(topic) is None or isinstance(rendering.fragment(topic), str)


def test_two_renderers_for_one_entity_are_a_mistake():
    with pytest.raises(ValueError, match="two renderers"):
        rendering.renders("jobs")(lambda pk: None)
