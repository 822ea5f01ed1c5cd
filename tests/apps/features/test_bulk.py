"""One action for many features: from the list, as JSON, by command and in the admin; and the rows' own small forms."""

import csv
import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from apps.features import services
from apps.features.models import Collection
from apps.features.selectors import feature_list
from tests.apps.features.worlds import finished_run_make, sae_make

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def send(client, sae, query="", **values):
    return client.post(f"{reverse('features:change', args=[sae.pk])}?{query}", values)


def starred(sae):
    return list(sae.features.filter(is_starred=True).values_list("index", flat=True))


def said(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_ticked_rows_get_a_star_and_the_list_comes_back_as_it_was(client_in, sae):
    answer = send(client_in, sae, "sort=maximum", action="star", chosen=[2, 4])
    assert answer.headers["Location"] == f"/features/sae/{sae.pk}/?sort=maximum"
    assert "2 features changed." in client_in.get(answer.headers["Location"]).text
    assert starred(sae) == [2, 4]
    send(client_in, sae, action="unstar", chosen=[2])
    assert starred(sae) == [4]


def test_all_that_match_are_changed_though_they_stand_on_other_pages(client_in):
    large = sae_make(d_sae=120)
    finished_run_make(large)
    send(client_in, large, "min_max=50", action="star", everything="1", chosen=[3])
    assert starred(large) == list(range(50, 120))


def test_labels_and_categories_given_to_many_are_found(client_in, sae):
    send(client_in, sae, action="label", words="wet weather", chosen=[1, 2])
    send(client_in, sae, "query=wet", action="category", words="Sky>Rain", everything="1")
    assert list(feature_list(sae=sae.pk, category="sky").values_list("index", "label")) == [
        (1, "wet weather"),
        (2, "wet weather"),
    ]
    assert set(sae.features.filter(index__in=(1, 2)).values_list("label_source", flat=True)) == {"manual"}
    send(client_in, sae, action="clear", chosen=[1])
    assert list(feature_list(sae=sae.pk, query="wet").values_list("index", flat=True)) == [2]


def test_replacing_words_of_all_that_match_asks_first(client_in, sae):
    send(client_in, sae, action="label", words="rain", chosen=[1, 2])
    asked = send(client_in, sae, "min_max=1", action="label", words="wind", everything="1")
    assert "2 of the 5 features" in asked.text and 'name="sure"' in asked.text
    assert sae.features.filter(label="wind").count() == 0
    send(client_in, sae, "min_max=1", action="label", words="wind", everything="1", sure="1")
    assert sae.features.filter(label="wind").count() == 5
    again = send(client_in, sae, action="clear", everything="1")
    assert "5 of the 6 features" in again.text and sae.features.filter(label="wind").count() == 5


def test_nothing_chosen_and_missing_words_are_refused_in_words(client_in, sae):
    assert "No feature was chosen" in send(client_in, sae, action="star").text
    assert "words are missing" in send(client_in, sae, action="label", chosen=[1]).text
    assert send(client_in, sae, action="explode", chosen=[1]).status_code == 400
    assert send(client_in, sae, "min_density=many", action="star", everything="1").status_code == 400
    assert starred(sae) == []


def test_ticked_rows_are_exported(client_in, sae):
    answer = send(client_in, sae, action="json", chosen=[2, 4])
    assert [feature["index"] for feature in json.loads(answer.getvalue())["features"]] == [2, 4]
    table = csv.DictReader(io.StringIO(send(client_in, sae, action="csv", chosen=[5]).getvalue().decode()))
    assert {row["feature"] for row in table} == {"5"}
    assert send(client_in, sae, action="spreadsheet", chosen=[5]).getvalue().startswith(b"\xef\xbb\xbfsae,feature")


def test_ticked_rows_go_into_a_collection_that_is_made_for_them(client_in, sae):
    send(client_in, sae, action="collect", words="  rainy  days ", chosen=[1, 2])
    page = send(client_in, sae, "min_max=2", action="collect", words="rainy days", everything="1")
    assert "3 features added" in client_in.get(page.headers["Location"]).text
    assert Collection.objects.get().parts.get().features.tolist() == [1, 2, 3, 4, 5]


def test_patch_changes_all_that_the_filter_finds(client_in, sae):
    url = f"/api/v1/features?sae={sae.pk}&min_max=3"
    changed = client_in.patch(url, {"label": "strong", "is_starred": True}, content_type="application/json")
    assert changed.json() == {"changed": 3} and starred(sae) == [3, 4, 5]
    assert client_in.get(f"/api/v1/features?sae={sae.pk}&query=strong").json()["total"] == 3
    for bad in ({"notes": "x"}, {"label": 1}, {}):
        assert client_in.patch(url, bad, content_type="application/json").status_code == 400
    everywhere = client_in.patch("/api/v1/features?min_max=3", {"label": "x"}, content_type="application/json")
    assert everywhere.status_code == 400 and everywhere.json()["error"]["field"] == "sae"


def test_a_change_that_ends_what_chose_the_features_still_reaches_all(sae):
    services.features_star(features=sae.features.filter(index__lt=3), is_starred=True)
    found = feature_list(sae=sae.pk, starred=True, labelled="no")
    assert services.features_update(features=found, label="was starred", is_starred=False) == 3
    assert starred(sae) == [] and sae.features.filter(label="was starred").count() == 3


def test_the_command_changes_and_collects(sae):
    told = said(
        "feature_change",
        f"--sae={sae.pk}",
        "--query=token:sun",
        "--set-label=sunny",
        "--star",
        "--collect=days",
        "--json",
    )
    assert json.loads(told) == {"collected": 1, "collection": Collection.objects.get().pk, "changed": 1}
    assert starred(sae) == [2] and sae.features.get(index=2).label == "sunny"
    assert said("feature_change", f"--sae={sae.pk}", "--features=1-2", "--no-star") == "2 changed.\n"
    with pytest.raises(CommandError, match="Nothing is to be changed"):
        said("feature_change", f"--sae={sae.pk}")


def test_the_list_command_takes_every_filter_of_the_page(sae):
    told = said("feature_list", f"--sae={sae.pk}", "--fires-on=.", "--min-firings=20", "--max-agreement=0.9", "--json")
    assert [feature["index"] for feature in json.loads(told)] == [2, 3, 4]


def test_admin_actions_do_the_same(client_in, owner, sae):
    owner.is_staff = owner.is_superuser = True
    owner.save()

    def act(action, words=""):
        chosen = [sae.features.get(index=index).pk for index in (1, 2)]
        values = {"action": action, "_selected_action": chosen, "words": words}
        return client_in.post("/admin/features/feature/", values, follow=True)

    assert "2 features changed" in act("star").text and starred(sae) == [1, 2]
    assert act("unstar").status_code == 200 and starred(sae) == []
    act("category_set", "Sky > Wet")
    assert list(feature_list(sae=sae.pk, category="sky > wet").values_list("index", flat=True)) == [1, 2]
    act("collect", "chosen by hand")
    assert Collection.objects.get().parts.get().features.tolist() == [1, 2]
    assert [found["index"] for found in json.loads(act("examples_export").getvalue())["features"]] == [1, 2]
    assert "words are missing" in act("category_set").text


def test_a_peek_shows_examples_and_words_and_saves_them(client_in, sae):
    url = reverse("features:peek", args=[sae.pk, 2])
    peek = client_in.get(url, headers=HTMX).text
    assert peek.count("data-strip") == 2 and "× 2" in peek
    words = reverse("features:row-words", args=[sae.pk, 2])
    saved = client_in.post(words, {"label": "sunny", "category": "Sky"}, headers=HTMX).text
    assert "Saved." in saved and 'id="row-words-2" hx-swap-oob="true"' in saved
    assert sae.features.get(index=2).label == "sunny"
    refused = client_in.post(words, {"label": "x" * 301, "category": ""}, headers=HTMX).text
    assert 'role="alert"' in refused and "Saved." not in refused


def test_a_peek_at_a_dead_feature_says_why_there_is_nothing(client_in, sae):
    assert "fired nowhere" in client_in.get(reverse("features:peek", args=[sae.pk, 0])).text
    assert client_in.get(reverse("features:peek", args=[sae.pk, 6])).status_code == 404


def test_the_star_of_a_row_goes_on_and_off(client_in, sae):
    url = reverse("features:row-star", args=[sae.pk, 2])
    assert 'aria-pressed="true"' in client_in.post(url, {"is_starred": "1"}, headers=HTMX).text
    assert starred(sae) == [2]
    client_in.post(url, {"is_starred": "0"}, headers=HTMX)
    assert starred(sae) == []
