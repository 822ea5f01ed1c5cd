"""/api/v1/features: shapes, filters, changes and runs."""

import pytest

from apps.features.models import FeatureRun
from tests.apps.features.worlds import finished_run_make, run_make, sae_make

pytestmark = pytest.mark.django_db
JSON = {"content_type": "application/json"}


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def test_the_list_is_paged_and_filtered(client_in, sae):
    found = client_in.get(f"/api/v1/features?sae={sae.pk}&min_max=2&sort=maximum&page_size=3").json()
    assert {key: found[key] for key in ("page", "pages", "total")} == {"page": 1, "pages": 2, "total": 4}
    assert [item["index"] for item in found["items"]] == [5, 4, 3]
    assert set(found["items"][0]) == {
        "id", "sae", "index", "label", "category", "label_source", "notes", "is_starred", "density", "mean", "maximum",
        "firings", "consistency", "concentration", "agreement", "score",
        "interest", "peculiarity", "auto_name", "peak_words", "gloss", "promoted_tokens", "run", "url",
    }  # fmt: skip


def test_the_list_takes_the_same_queries_for_any_length(client_in, sae, django_assert_max_num_queries):
    with django_assert_max_num_queries(6):
        client_in.get("/api/v1/features?page_size=100")


@pytest.mark.parametrize(
    ("query", "field"), [("min_density=2", "min_density"), ("sort=luck", "sort"), ("sae=x", "sae")]
)
def test_a_bad_filter_is_named(client_in, query, field):
    answer = client_in.get(f"/api/v1/features?{query}")
    assert answer.status_code == 400 and answer.json()["error"]["field"] == field


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "features?sae={sae}&featurs=1"),
        ("patch", "features?sae={sae}&featurs=1"),
        ("post", "features/collections?sae={sae}&featurs=1"),
        ("delete", "features/collections/{collection}/features?sae={sae}&featurs=1"),
        ("get", "features/examples?sae={sae}&format=csv&featurs=1"),
    ],
)
def test_a_misspelt_filter_is_refused_instead_of_meaning_every_feature(client_in, sae, method, path):
    made = client_in.post(f"/api/v1/features/collections?sae={sae.pk}", {"name": "all"}, **JSON).json()
    body = {"is_starred": True} if method == "patch" else {"name": "more"}
    url = f"/api/v1/{path.format(sae=sae.pk, collection=made['id'])}"
    answer = getattr(client_in, method)(url, *([] if method == "get" else [body]), **({} if method == "get" else JSON))
    assert answer.status_code == 400 and answer.json()["error"]["field"] == "featurs"
    assert "features, collection" in answer.json()["error"]["hint"]
    assert not sae.features.filter(is_starred=True).exists()
    assert client_in.get(f"/api/v1/features/collections/{made['id']}").json()["features"] == sae.d_sae


def test_one_feature_comes_with_statistics_logits_and_examples(client_in, sae):
    feature = client_in.get(f"/api/v1/features/{sae.features.get(index=5).pk}").json()
    assert feature["statistics"]["firings"] == 50 and sum(feature["statistics"]["histogram"]) == 7
    assert [t["token"] for t in feature["logits"]["suppressed"]] == ["<b>", "Ġwind"]
    assert [(g["group"], len(g["examples"])) for g in feature["examples"]] == [(0, 2), (-2, 1), (1, 1), (2, 1), (-1, 1)]
    best = feature["examples"][0]["examples"][0]
    assert best["tokens"][best["peak"]] == "Ġwind" and best["activations"][best["peak"]] == 5.0
    assert best["repeats"] == 2
    edge = feature["examples"][0]["examples"][1]
    assert edge["tokens"] == ["Ġwind", ".", "."] and edge["peak"] == 0


def test_patch_changes_words_and_refuses_numbers(client_in, sae):
    url = f"/api/v1/features/{sae.features.get(index=5).pk}"
    changed = client_in.patch(url, {"label": "wind", "is_starred": True}, **JSON)
    assert changed.status_code == 200 and changed.json()["label"] == "wind" and changed.json()["is_starred"]
    refused = client_in.patch(url, {"density": 1}, **JSON)
    assert refused.status_code == 400 and refused.json()["error"]["field"] == "density"
    assert client_in.patch(url, ["label"], **JSON).status_code == 400


def test_an_extraction_is_accepted_and_can_be_followed(client_in):
    sae = sae_make()
    body = {"sae": sae.pk, "tokenization": sae.tokenization_id, "max_tokens": 5000}
    answer = client_in.post("/api/v1/features/extraction", body, **JSON)
    assert answer.status_code == 202
    run = client_in.get(answer.json()["url"]).json()
    assert run["sae"] == {"id": sae.pk, "name": "Tiny SAE"} and not run["ready"]
    assert run["job"]["id"] == answer.json()["job"]["id"]


def test_a_run_says_what_its_features_are_together(client_in, sae):
    (run,) = client_in.get(f"/api/v1/features/extraction?sae={sae.pk}").json()["items"]
    assert run["summary"] == {"d_sae": 6, "dead": 1, "readable": 2, "mean_density": 0.003, "mean_score": 0.5}
    text = client_in.get(f"/features/sae/{sae.pk}/").text
    assert "contexts agree" in text and f"/features/sae/{sae.pk}/?min_score=0.5" in text
    FeatureRun.objects.update(report={"folder": "x", "tokens": 9, "d_sae": 6, "alive": 5, "bytes": 1})
    assert client_in.get(f"/api/v1/features/extraction/{run['id']}").json()["summary"]["readable"] is None
    assert "contexts agree" not in client_in.get(f"/features/sae/{sae.pk}/").text
    started, _, _ = run_make(sae_make())
    assert client_in.get(f"/api/v1/features/extraction/{started.pk}").json()["summary"] == {}


def test_an_extraction_with_a_bad_value_names_the_field(client_in):
    sae = sae_make()
    body = {"sae": sae.pk, "tokenization": sae.tokenization_id, "top_examples": 0}
    answer = client_in.post("/api/v1/features/extraction", body, **JSON)
    assert answer.status_code == 400 and answer.json()["error"]["field"] == "top_examples"


def test_a_finished_run_is_deleted_and_one_under_way_is_not(client_in, sae):
    url = f"/api/v1/features/extraction/{FeatureRun.objects.get().pk}"
    run_make(sae)
    assert client_in.delete(url).json()["deleted"]
    assert client_in.get(url).status_code == 404
    assert client_in.delete(f"/api/v1/features/extraction/{FeatureRun.objects.get().pk}").status_code == 409


def test_strangers_get_nothing(client, sae):
    assert client.get("/api/v1/features").status_code == 401


def test_runs_are_listed_newest_first_and_by_sae(client_in, sae):
    other = sae_make()
    run, _, _ = run_make(other)
    found = client_in.get("/api/v1/features/extraction").json()
    assert [item["sae"]["id"] for item in found["items"]] == [other.pk, sae.pk]
    alone = client_in.get(f"/api/v1/features/extraction?sae={other.pk}").json()
    assert [item["id"] for item in alone["items"]] == [run.pk] and alone["items"][0]["job"]["state"] == "queued"
