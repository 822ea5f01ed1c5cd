"""The page, endpoints, command, admin action and runner of a feature map, and an area of it as a filter."""

import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.errors import AppError
from apps.core.live.rendering import fragment, renderers_discover
from apps.core.storage import data_path
from apps.features.forms import FeatureFilterForm
from apps.features.maps import services
from apps.features.maps.areas import is_inside
from apps.features.maps.selectors import map_points
from apps.features.maps.services import feature_map_start
from apps.features.models import FeatureMap
from apps.features.services import feature_label_set
from apps.jobs.models import Job
from apps.saes.services import sae_delete
from tests.apps.features.map_worlds import map_make, map_result_make
from tests.apps.features.worlds import described_sae_make, sae_make
from workers.engine.specs.feature_map import FeatureMapSpec
from workers.runners.feature_map import FeatureMapRunner

pytestmark = pytest.mark.django_db
RIGHT = "0,-0.1;1.1,-0.1;1.1,0.1;0,0.1"
"""A box around features 3, 4 and 5."""


@pytest.fixture
def sae(db):
    sae = described_sae_make()
    feature_label_set(feature=sae.features.get(index=4), label="wind", category="Weather > Dry > Windy")
    return sae


def page(client, sae, **query):
    return client.get(reverse("features:map", args=[sae.pk]), query)


def test_without_a_map_the_page_offers_to_lay_one_out_and_does(client_in, sae):
    assert "There is no map yet" in page(client_in, sae).text
    answer = client_in.post(reverse("features:map", args=[sae.pk]), {"method": "graph", "neighbours": 7})
    made = FeatureMap.objects.get()
    assert answer.status_code == 302 and made.job.spec["neighbours"] == 7 and made.job.spec["sae"] == sae.pk
    assert (made.job.kind, made.job.queue) == ("feature_map", "cpu")
    text = page(client_in, sae).text
    assert made.topic in text and "Map features" in text and "There is no map yet" not in text


def test_bad_options_are_refused_at_their_field(client_in, sae):
    answer = client_in.post(reverse("features:map", args=[sae.pk]), {"method": "graph", "neighbours": 1})
    assert answer.status_code == 422 and "The least allowed is 2." in answer.text


def test_the_page_names_the_method_and_how_far_it_can_be_trusted(client_in, sae):
    made = map_make(sae, is_ready=True)
    text = page(client_in, sae).text
    assert "Neighbour graph of 5 features" in text and "UMAP" not in text.partition("map-layout")[0]
    assert "25 %" in text and "by chance 1 %" in text and "<noscript>" in text
    assert f'data-points="/api/v1/features/maps/{made.pk}/points"' in text


def test_filters_of_the_list_are_counted_and_lead_to_the_list(client_in, sae):
    map_make(sae, is_ready=True)
    text = page(client_in, sae, query="wind", colour="score").text
    assert "match" in text and f'href="/features/sae/{sae.pk}/?query=wind"' in text
    assert "points?query=wind&amp;colour=score" in text
    assert 'role="alert"' in page(client_in, sae, min_density="much").text
    assert 'role="alert"' in page(client_in, sae, colour="taste").text


def test_an_older_map_is_shown_when_asked_for_and_an_unknown_one_is_not_found(client_in, sae):
    old, new = map_make(sae, is_ready=True), map_make(sae, is_ready=True)
    assert f'data-map="{new.pk}"' in page(client_in, sae).text
    text = page(client_in, sae, map=old.pk).text
    assert f'data-map="{old.pk}"' in text and f"?map={new.pk}" in text
    assert page(client_in, sae, map=999).status_code == 404


def test_without_umap_the_page_says_what_brings_it_and_asking_for_it_is_refused(client_in, sae, monkeypatch):
    monkeypatch.setattr(services, "find_spec", lambda name: None)
    assert "pip install -e &quot;.[map]&quot;" in page(client_in, sae).text
    with pytest.raises(AppError) as refused:
        feature_map_start(spec=FeatureMapSpec(sae=sae.pk, method="umap"))
    assert refused.value.code == "package_missing" and "[map]" in refused.value.hint


def test_one_map_at_a_time_is_laid_out(sae):
    map_make(sae)
    with pytest.raises(AppError) as refused:
        map_make(sae)
    assert refused.value.code == "already_active"


@pytest.mark.parametrize(
    ("colour", "values"),
    [
        ("density", [0.001, 0.002, 0.003, 0.004, 0.005]),
        ("maximum", [1, 2, 3, 4, 5]),
        ("category", ["", "", "", "Weather > Dry", ""]),
    ],
)
def test_the_points_are_columns_of_the_placed_features(sae, colour, values):
    points = map_points(map_make(sae, is_ready=True), {"colour": colour})
    assert points["index"] == [1, 2, 3, 4, 5] and points["value"] == values
    assert points["x"] == pytest.approx([-0.6, -0.2, 0.2, 0.6, 1.0]) and points["matches"] is None
    assert points["label"][3] == "wind" and points["auto_name"][0].startswith("rain")


def test_the_points_say_which_the_filters_keep(sae):
    made = map_make(sae, is_ready=True)
    assert map_points(made, {"labelled": "yes"})["matches"] == [0, 0, 0, 1, 0]
    with pytest.raises(AppError, match="colour"):
        map_points(made, {"colour": "taste"})
    with pytest.raises(AppError, match="min_density"):
        map_points(made, {"min_density": "much"})


def test_of_very_many_points_the_words_stay_away(sae, monkeypatch):
    monkeypatch.setattr("apps.features.maps.selectors.MOST_LABELLED", 4)
    assert "label" not in map_points(map_make(sae, is_ready=True), {})


def test_an_area_of_the_map_filters_list_endpoint_and_highlights(client_in, sae):
    made = map_make(sae, is_ready=True)
    area = f"{made.pk}:{RIGHT}"
    text = client_in.get(reverse("features:list", args=[sae.pk]), {"area": area}).text
    assert "3</data> features match" in text and "Inside an area of" in text and f'value="{area}"' in text
    answer = client_in.get("/api/v1/features", {"area": area, "max_max": 4}).json()
    assert [item["index"] for item in answer["items"]] == [3, 4]
    assert map_points(made, {"area": area})["matches"] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "area", ["1", "x:0,0;1,0;1,1", "1:0,0;1,0", "1:0,0;1,0;1", "1:0,0;1,0;nan,1", "1:a,b;c,d;e,f", "999:0,0;1,0;1,1"]
)
def test_an_area_that_cannot_be_read_is_refused_in_words(area):
    form = FeatureFilterForm({"area": area})
    assert not form.is_valid() and list(form.errors) == ["area"]


def test_an_area_of_a_map_whose_file_is_gone_says_so(sae):
    made = map_make(sae, is_ready=True)
    (made.folder / "map.safetensors").unlink()
    form = FeatureFilterForm({"area": f"{made.pk}:{RIGHT}"})
    assert not form.is_valid() and "cannot be read" in str(form.errors)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=12), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_points_inside_any_polygon_are_those_of_the_rule_by_hand(corners, seed):
    corners = np.round(np.array(corners), 2)
    points = np.random.default_rng(seed).uniform(-1.1, 1.1, (300, 2))
    assert (is_inside(points, corners) == even_odd(points, corners)).all()


def even_odd(points, corners):
    """By hand, point by point: how many edges a ray to the right crosses."""
    found = []
    for x, y in points:
        crossings = 0
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]]):
            if (y0 > y) != (y1 > y):
                crossings += x < x0 + (x1 - x0) * (y - y0) / (y1 - y0)
        found.append(crossings % 2 == 1)
    return np.array(found)


def test_the_endpoints_start_list_show_and_delete(client_in, sae):
    body = json.dumps({"sae": sae.pk, "method": "pca"})
    started = client_in.post("/api/v1/features/maps", body, content_type="application/json")
    made = FeatureMap.objects.get()
    url = f"/api/v1/features/maps/{made.pk}"
    assert started.status_code == 202 and started.json()["url"] == url
    assert client_in.get(f"{url}/points").status_code == 409 and client_in.delete(url).status_code == 409
    draft = data_path("tmp", f"job-{made.job.pk}")
    draft.mkdir(parents=True, exist_ok=True)
    (draft / "map.safetensors").write_bytes(b"x")
    FeatureMapRunner().finish(made.job, made.job.loaded_spec, map_result_make(), str(draft))
    Job.objects.update(state="succeeded")
    answer = client_in.get(url).json()
    assert answer["ready"] and answer["method"] == "graph" and answer["result"]["points"] == 5
    assert client_in.get("/api/v1/features/maps", {"sae": sae.pk}).json()["total"] == 1
    assert client_in.get("/api/v1/features/maps", {"sae": "x"}).status_code == 400
    assert client_in.delete(url).json() == {"deleted": made.pk, "freed_bytes": 1}
    assert client_in.get(url).status_code == 404 and not Path(made.folder).exists()


def test_the_page_that_deletes_leads_back_to_the_map(client_in, sae):
    made = map_make(sae, is_ready=True)
    url = reverse("features:map-delete", args=[made.pk])
    assert "stop working" in client_in.get(url).text
    assert client_in.post(url).url == reverse("features:map", args=[sae.pk]) and not FeatureMap.objects.exists()


def test_a_finished_map_is_announced_to_the_open_page(sae):
    renderers_discover()
    made = map_make(sae)
    assert 'data-state="queued"' in fragment(made.topic)
    Job.objects.filter(pk=made.job.pk).update(state="succeeded")
    assert "The new map is ready" in fragment(map_make(sae, is_ready=True).topic)
    assert fragment("feature-maps/999") is None


def test_the_command_prints_method_and_trust(sae, capsys, monkeypatch):
    from apps.features.management.commands import feature_map as command

    def finished(job, **_):
        FeatureMap.objects.filter(pk=job.subject_id).update(report=map_result_make().to_json())
        job.state = "succeeded"
        return job

    monkeypatch.setattr(command.SpecCommand, "follow", lambda self, job, **known: finished(job))
    call_command("feature_map", sae=sae.pk, wait=True)
    printed = capsys.readouterr().out
    assert "Neighbour graph of 5 features in 1.5 s; of the 10 nearest by cosine 25 %" in printed
    with pytest.raises(CommandError):
        call_command("feature_map", sae=999)


def test_the_admin_maps_the_saes_of_runs_and_deletes_maps(client_in, owner, sae):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    body = {"action": "map_features", "_selected_action": [sae.feature_runs.get().pk]}
    assert "is mapped by job" in client_in.post("/admin/features/featurerun/", body, follow=True).text
    Job.objects.update(state="succeeded")
    body = {"action": "delete_rows", "_selected_action": [FeatureMap.objects.get().pk]}
    client_in.post("/admin/features/featuremap/", body, follow=True)
    assert not FeatureMap.objects.exists()


def test_prepare_names_the_newest_run_where_there_is_one(sae):
    where = {"job_dir": "j", "out_dir": "o"}
    made = map_make(sae)
    inputs = FeatureMapRunner().prepare(made.job, made.job.loaded_spec, where)
    assert inputs.run_dir.endswith(f"features/{sae.feature_runs.get().pk}")
    bare = map_make(sae_make())
    assert FeatureMapRunner().prepare(bare.job, bare.job.loaded_spec, where).run_dir == ""
    assert FeatureMapRunner().memory_bytes(made.job.loaded_spec) > 0


def test_the_map_goes_with_its_sae_but_not_while_it_is_laid_out(sae):
    made = map_make(sae)
    with pytest.raises(AppError):
        sae_delete(sae=sae)
    Job.objects.update(state="succeeded")
    sae_delete(sae=sae)
    assert not FeatureMap.objects.filter(pk=made.pk).exists()
