"""The picture of all features on the SAE's page, and boxes drawn over it."""

import json
import re

import numpy as np
import pytest
from django.urls import reverse

from apps.features import overview as module
from apps.features.services import feature_label_set
from tests.apps.features.worlds import finished_run_make, sae_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def chart(client, sae):
    page = client.get(reverse("features:overview", args=[sae.pk])).text
    return page, json.loads(re.search(r'id="feature-overview-json"[^>]*>(.*?)</script>', page)[1])


def test_each_feature_that_fires_is_a_point_that_leads_to_it(client_in, sae):
    feature_label_set(feature=sae.features.get(index=2), label="sunshine", category="")
    page, drawn = chart(client_in, sae)
    (points,) = drawn["series"]
    assert points["y"] == [1, 2, 3, 4, 5] and points["x"] == pytest.approx([0.001, 0.002, 0.003, 0.004, 0.005])
    assert drawn["link_base"] + points["links"][1] == sae.features.get(index=2).get_absolute_url()
    assert points["labels"][1].startswith("2 sunshine<br>density 0.002")
    assert "1</data> of" in page and "are dead" in page
    assert "silent on all" in page and 'title="10,000">10k</data> tokens of the feature run' in page


def test_dense_features_are_counted_and_listed(client_in, sae):
    sae.features.filter(index__gte=4).update(density=0.5)
    page, _ = chart(client_in, sae)
    assert "2</data> fire on more than" in page and "?min_density=0.1&amp;sort=density" in page


def test_of_features_on_one_place_the_most_frequent_stands_for_all(client_in, sae):
    sae.features.filter(index__in=[1, 2]).update(density=0.0021, maximum=2.001)
    sae.features.filter(index=3).update(density=0.0021001, maximum=2.0)
    page, drawn = chart(client_in, sae)
    (points,) = drawn["series"]
    assert [link.rstrip("/") for link in points["links"]] == ["3", "4", "5"]
    assert points["labels"][0].endswith("2 more at this place") and "more" not in points["labels"][1]
    assert "5 features that fire" in page and "3 points" in page


def test_as_many_points_are_drawn_as_a_page_can_bear(client_in, sae):
    generator = np.random.default_rng(0)
    alive = [(i, "", *(10 ** generator.uniform([-6, -1], [0, 3])).tolist()) for i in range(60_000)]
    drawn = module._one_for_each_cell(alive)
    assert len(drawn) <= module.CELLS[0] * module.CELLS[1]
    assert sum(1 + others for _, others in drawn) == len(alive)


def test_a_box_over_points_is_a_filter_of_the_list(client_in, sae):
    box = {"x_from": "0.0015", "x_to": "0.0045", "y_from": "2.5", "y_to": "9"}
    answer = client_in.get(reverse("features:selected", args=[sae.pk]), box, follow=True)
    assert answer.redirect_chain[0][0] == (
        f"/features/sae/{sae.pk}/?min_density=0.0015&max_density=0.0045&min_max=2.5&max_max=9&sort=density"
    )
    assert re.findall(rf'<th scope="row"><a href="/features/sae/{sae.pk}/(\d+)/"', answer.text) == ["4", "3"]


def test_the_page_of_the_sae_asks_for_the_picture_once_there_is_a_run(client_in, sae):
    url = reverse("features:overview", args=[sae.pk])
    assert f'hx-get="{url}"' in client_in.get(sae.get_absolute_url()).text
    other = sae_make()
    assert "overview" not in client_in.get(other.get_absolute_url()).text
    assert client_in.get(reverse("features:overview", args=[other.pk])).text.strip() == ""
