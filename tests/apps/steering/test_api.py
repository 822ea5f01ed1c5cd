"""/api/v1/steering: start, list, show, delete."""

import pytest

from apps.steering.models import Experiment
from tests.apps.features.worlds import finished_run_make, sae_make
from tests.apps.steering.worlds import finished_experiment_make

pytestmark = pytest.mark.django_db
JSON = {"content_type": "application/json"}


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


@pytest.mark.parametrize("door", ["generate", "compare"])
def test_both_doors_start_an_experiment_that_can_be_followed(client_in, sae, door):
    body = {"sae": sae.pk, "features": [{"index": 4, "strength": 3}], "prompt": "The weather"}
    answer = client_in.post(f"/api/v1/steering/{door}", body, **JSON)
    assert answer.status_code == 202
    shown = client_in.get(answer.json()["url"]).json()
    assert shown["job"] == {"id": answer.json()["job"]["id"], "state": "queued"}
    assert shown["baseline"] is None and not shown["ready"]


def test_features_may_be_text(client_in, sae):
    body = {"sae": sae.pk, "features": "4:3, 2:-1", "prompt": "The weather"}
    assert client_in.post("/api/v1/steering/generate", body, **JSON).status_code == 202
    assert [f["index"] for f in Experiment.objects.get().spec["features"]] == [4, 2]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"features": []}, "features"),
        ({"features": "99:1"}, "features"),
        ({"features": "0:1"}, "features"),
        ({"prompt": " "}, "prompt"),
        ({"unit": "volts"}, "unit"),
        ({"sweep": [1, 2]}, "sweep"),
    ],
)
def test_a_request_that_cannot_be_meant_names_its_field(client_in, sae, change, field):
    body = {"sae": sae.pk, "features": "4:3", "prompt": "The weather", **change}
    answer = client_in.post("/api/v1/steering/generate", body, **JSON)
    assert answer.status_code == 400 and answer.json()["error"]["field"] == field
    assert not Experiment.objects.exists()


def test_the_list_holds_both_texts_and_bounds_its_queries(client_in, sae, django_assert_max_num_queries):
    for _ in range(5):
        finished_experiment_make(sae)
    with django_assert_max_num_queries(7):
        found = client_in.get("/api/v1/steering/experiments").json()
    assert found["total"] == 5
    assert found["items"][0]["steered"] == {"text": " is wind", "tokens": ["Ġis", "Ġwind"], "seed": 0}


def test_an_experiment_is_deleted_once(client_in, sae):
    url = f"/api/v1/steering/experiments/{finished_experiment_make(sae).pk}"
    assert client_in.get(url).json()["delta_norm"] == 3.0
    assert client_in.delete(url).status_code == 200
    assert client_in.delete(url).status_code == 404
