"""The search boxes of all lists: whatever the case and however letters are composed, and on each database the same."""

import unicodedata

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.activations.selectors import activation_cache_list
from apps.core import search
from apps.core.search import found_by
from apps.datasets.models import Dataset
from apps.datasets.selectors import dataset_list
from apps.datasets.tokenization_selectors import tokenization_list
from apps.exports.selectors import export_list
from apps.features.collections.selectors import collection_list
from apps.features.models import Collection
from apps.jobs.models import Job
from apps.jobs.selectors import job_list
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_list
from apps.presets.models import Preset
from apps.presets.selectors import preset_list
from apps.saes.selectors import sae_list
from apps.training.selectors import training_list

pytestmark = pytest.mark.django_db

NAMES = {
    "Наблюдения": ["наблюдения", "НАБЛЮДЕНИЯ", "блюд"],
    "École normale": ["école", "ÉCOLE", unicodedata.normalize("NFD", "école"), "NORMALE"],
    unicodedata.normalize("NFD", "Crème"): ["crème", "CRÈME"],
    "Hauptstraße": ["STRASSE", "straße", "strasse"],
    "İstanbul": ["istanbul", "İSTANBUL"],
    "100%_\\x": ["100%", "%_", "_\\X", "\\"],
}


def test_a_name_is_found_in_any_case_and_composition():
    for name in NAMES:
        Dataset.objects.create(name=name)
    for name, words in NAMES.items():
        for query in words:
            assert [row.name for row in dataset_list(query=query)] == [name], query
    assert dataset_list(query="%").count() == 1 and dataset_list(query="ecole").count() == 0
    assert dataset_list(query=" ").count() == dataset_list(query="").count() == len(NAMES)


@pytest.mark.parametrize(
    ("model", "listed", "values"),
    [
        (LanguageModel, language_model_list, {"name": "Ö-Modell"}),
        (LanguageModel, language_model_list, {"name": "m", "origin": "École/Ö"}),
        (Collection, collection_list, {"name": "c", "note": "schöne Dinge"}),
        (Preset, preset_list, {"kind": "training", "name": "p", "description": "größer", "spec": {}, "schema": 1}),
    ],
)
def test_every_field_that_a_list_searches_is_folded(model, listed, values):
    before = listed(query="Ö").count()
    model.objects.create(**values)
    assert listed(query="Ö").count() == listed(query="o\u0308").count() == before + 1


@pytest.mark.parametrize(
    "listed", [activation_cache_list, export_list, job_list, sae_list, tokenization_list, training_list]
)
def test_no_list_asks_the_database_to_compare_letters(listed):
    with CaptureQueriesContext(connection) as asked:
        assert listed(query="Ö").count() == 0
    assert asked.captured_queries
    assert not [query["sql"] for query in asked.captured_queries if " LIKE " in query["sql"].upper()]


def test_more_rows_than_a_statement_has_parameters_are_found(monkeypatch):
    monkeypatch.setattr(search, "MOST_PARAMETERS", 2)
    Dataset.objects.bulk_create(Dataset(name=f"é {number}") for number in range(7))
    Dataset.objects.create(name="other")
    found = found_by(Dataset.objects.order_by("-name"), "É", "name")
    assert [row.name for row in found] == [f"é {number}" for number in range(6, -1, -1)]
    assert found.filter(name="é 3").count() == 1


def test_the_admin_searches_alike(rf):
    Dataset.objects.create(name="École normale")
    admin.autodiscover()  # processes without pages leave the admin out
    found, _ = admin.site.get_model_admin(Dataset).get_search_results(rf.get("/"), Dataset.objects.all(), "éCOLE Norm")
    assert found.count() == 1
    for model, its_admin in admin.site._registry.items():
        if its_admin.search_fields and model.__module__.startswith("apps."):
            assert type(its_admin).get_search_results is not admin.ModelAdmin.get_search_results, model
    assert Job in admin.site._registry
