"""Collections: pages, endpoints, commands, admin, and selections that are too long for an address."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import AppError
from apps.features.collections import services
from apps.features.collections.selectors import collection_json
from apps.features.forms import IndicesField
from apps.features.models import Collection
from apps.features.search.index_sets import index_set, spans_of
from tests.apps.features.worlds import finished_run_make, sae_make

pytestmark = pytest.mark.django_db
JSON = {"content_type": "application/json"}


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


@pytest.fixture
def collection(sae):
    made = services.collection_create(name="Weather", note="to be checked")
    services.collection_add(collection=made, features=sae.features.filter(index__in=(1, 2)))
    return made


def held(collection):
    return {part.sae_id: part.features.tolist() for part in collection.parts.all()}


@given(st.sets(st.integers(0, 100), min_size=1))
def test_spans_name_just_the_numbers_they_were_made_of(numbers):
    assert sorted(IndicesField().clean(spans_of(index_set(numbers)))) == sorted(numbers)


def test_features_are_added_once_and_taken_out_until_nothing_is_left(sae, collection):
    assert services.collection_add(collection=collection, features=sae.features.filter(index__gte=2)) == 3
    assert held(collection) == {sae.pk: [1, 2, 3, 4, 5]}
    assert services.collection_remove(collection=collection, features=sae.features.filter(index__in=(0, 1))) == 1
    assert services.collection_remove(collection=collection, features=sae.features.all()) == 4
    assert held(collection) == {} and collection_json(collection)["features"] == 0


def test_a_collection_holds_features_of_several_saes_and_forgets_those_of_a_deleted_one(sae, collection):
    other = sae_make()
    finished_run_make(other)
    services.collection_add(collection=collection, features=other.features.filter(index=3))
    assert held(collection) == {sae.pk: [1, 2], other.pk: [3]}
    other.feature_runs.all().delete()
    other.delete()
    assert held(collection) == {sae.pk: [1, 2]}


def test_names_are_one_of_a_kind_and_never_empty(collection):
    for name, code in {"Weather": "name_taken", "  ": "name_missing", "x" * 201: "too_long"}.items():
        with pytest.raises(AppError) as refused:
            services.collection_create(name=name)
        assert refused.value.code == code and refused.value.field == "name"


def test_the_list_shows_what_lies_in_a_collection(client_in, sae, collection):
    url = reverse("features:list", args=[sae.pk])
    page = client_in.get(url, {"collection": collection.pk}).text
    assert page.count("<tr data-row>") == 2 and f'<option value="{collection.pk}" selected>Weather' in page
    assert client_in.get(url, {"collection": "99"}).text.count("<tr data-row>") == 0
    found = client_in.get(f"/api/v1/features?sae={sae.pk}&collection={collection.pk}&sort=maximum").json()
    assert [feature["index"] for feature in found["items"]] == [2, 1]


def test_the_pages_show_rename_and_delete(client_in, sae, collection):
    listed = client_in.get(reverse("features:collections")).text
    assert "Weather" in listed and f"/features/sae/{sae.pk}/?collection={collection.pk}" in listed
    assert "No collection matches" in client_in.get(reverse("features:collections"), {"q": "stars"}).text
    url = collection.get_absolute_url()
    assert client_in.get(url).text.count("<tr data-row>") == 2
    client_in.post(url, {"name": "Rain", "note": ""})
    assert Collection.objects.get().name == "Rain"
    services.collection_create(name="Sun")
    assert client_in.post(url, {"name": "Sun", "note": ""}).status_code == 422
    remove = reverse("features:collection-delete", args=[collection.pk])
    assert "features stay" in client_in.get(remove).text
    client_in.post(remove)
    assert [found.name for found in Collection.objects.all()] == ["Sun"] and sae.features.count() == 6


def test_ticked_features_are_taken_out_on_its_page(client_in, sae, collection):
    url = reverse("features:collection-take", args=[collection.pk])
    client_in.post(url, {"sae": sae.pk, "chosen": [1]})
    assert held(collection) == {sae.pk: [2]}
    assert client_in.post(url, {"sae": "x", "chosen": [2]}).status_code == 400


def test_a_new_collection_is_made_by_its_form(client_in):
    answer = client_in.post(reverse("features:collection-new"), {"name": "Empty", "note": "for later"})
    assert answer.headers["Location"] == Collection.objects.get().get_absolute_url()
    assert "Nothing in it yet" in client_in.get(answer.headers["Location"]).text
    assert client_in.post(reverse("features:collection-new"), {"name": "Empty"}).status_code == 422
    assert "No collections yet" not in client_in.get(reverse("features:collections")).text


def test_the_endpoints_make_change_fill_and_delete(client_in, sae):
    made = client_in.post(f"/api/v1/features/collections?sae={sae.pk}&min_max=4", {"name": "Strong"}, **JSON)
    assert made.status_code == 201 and made.json()["features"] == 2
    url = f"/api/v1/features/collections/{made.json()['id']}"
    assert client_in.patch(url, {"note": "n"}, **JSON).json()["note"] == "n"
    added = client_in.post(f"{url}/features?sae={sae.pk}&features=1-4", **JSON).json()
    assert added["changed"] == 3 and added["features"] == 5
    assert client_in.delete(f"{url}/features?sae={sae.pk}&features=5").json()["changed"] == 1
    assert client_in.get("/api/v1/features/collections?q=stro").json()["total"] == 1
    assert client_in.post("/api/v1/features/collections", {"name": "Strong"}, **JSON).status_code == 400
    assert client_in.patch(url, {"features": [1]}, **JSON).status_code == 400
    assert client_in.delete(url).json() == {"deleted": made.json()["id"]}
    assert client_in.get(url).status_code == 404


def test_the_commands_list_change_and_delete(sae, collection):
    def said(*arguments):
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    assert json.loads(said("collection_list", "--json"))[0]["features"] == 2
    assert "Weather" in said("collection_list")
    changed = said("collection_change", str(collection.pk), "--name=Rain", f"--sae={sae.pk}", "--take-out=1", "--json")
    assert json.loads(changed)["name"] == "Rain" and held(collection) == {sae.pk: [2]}
    said("collection_change", str(collection.pk), "--delete")
    assert not Collection.objects.exists()


def test_the_admin_renames_and_deletes(client_in, owner, collection):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    client_in.post(f"/admin/features/collection/{collection.pk}/change/", {"name": "Rain", "note": "x"})
    assert Collection.objects.get().name == "Rain"
    values = {"action": "delete_rows", "_selected_action": [collection.pk]}
    client_in.post("/admin/features/collection/", values)
    assert not Collection.objects.exists()


def test_a_short_selection_is_an_address_and_a_long_one_a_collection(client_in):
    large = sae_make(d_sae=3_000)
    url = reverse("features:selection", args=[large.pk])
    short = client_in.post(url, {"features": "3,1,2,9"}).headers["Location"]
    assert short == f"/features/sae/{large.pk}/?features=1-3%2C9" and not Collection.objects.exists()
    every_second = ",".join(str(number) for number in range(0, 3_000, 2))
    for name in ("Selection of 1,500 features of Tiny SAE", "Selection of 1,500 features of Tiny SAE (2)"):
        address = client_in.post(url, {"features": every_second}).headers["Location"]
        made = Collection.objects.get(name=name)
        assert address == f"/features/sae/{large.pk}/?collection={made.pk}" and len(made.parts.get().features) == 1_500
    for bad in ("", "1,x", "3000"):
        assert client_in.post(url, {"features": bad}).status_code == 400
