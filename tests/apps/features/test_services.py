"""Starting feature runs, and the words of one or many features."""

import shutil

import pytest
from django.db import transaction
from django.urls import reverse

from apps.core.errors import AppError, NotFound
from apps.core.storage import data_path, folder_bytes
from apps.features import services
from apps.features.models import Feature
from apps.jobs.models import Job
from apps.saes.models import Sae
from apps.saes.services import sae_delete
from tests.apps.features.ablation_worlds import ablation_make
from tests.apps.features.worlds import (
    files_write,
    finished_run_make,
    language_make,
    language_model_make,
    result_make,
    run_make,
    sae_make,
    tokenization_make,
)
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.features import FeatureRunSpec
from workers.runners.feature_run import FeatureRunRunner

pytestmark = pytest.mark.django_db


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def test_a_run_needs_a_tokenization_cut_by_the_models_own_tokenizer():
    sae = sae_make()
    other = tokenization_make(language_model_make("Other LM", tokenizer="t2"))
    with pytest.raises(AppError, match="was cut with another tokenizer") as refused:
        services.feature_run_start(spec=FeatureRunSpec(sae=sae.pk, tokenization=other.pk))
    assert refused.value.field == "tokenization"


def test_a_run_needs_contexts_that_the_model_can_read():
    sae = sae_make()
    sae.language_model.report |= {"max_context": sae.tokenization.context_length - 1}
    sae.language_model.save()
    with pytest.raises(AppError) as refused:
        services.feature_run_start(spec=FeatureRunSpec(sae=sae.pk, tokenization=sae.tokenization_id))
    assert (refused.value.code, refused.value.field) == ("context_too_long", "tokenization")


def test_the_same_tokenizer_under_another_models_name_will_do():
    sae = sae_make()
    twin = tokenization_make(language_model_make("Twin LM", tokenizer="t1"))
    run = services.feature_run_start(spec=FeatureRunSpec(sae=sae.pk, tokenization=twin.pk))
    assert run.job.kind == "feature_run" and run.job.subject_id == run.pk


def test_a_run_for_an_unknown_sae_is_not_found():
    with pytest.raises(NotFound):
        services.feature_run_start(spec=FeatureRunSpec(sae=99, tokenization=1))


def test_one_sae_has_one_run_at_a_time():
    sae = sae_make()
    run_make(sae)
    with pytest.raises(AppError, match="already finds"):
        services.feature_run_start(spec=FeatureRunSpec(sae=sae.pk, tokenization=sae.tokenization_id))


def test_saes_of_one_pass_read_one_language_model_and_are_named_once(sae):
    other = sae_make()
    with pytest.raises(AppError, match="but Tiny SAE reads Tiny LM") as refused:
        services.feature_run_start(
            spec=FeatureRunSpec(sae=sae.pk, more_saes=(other.pk,), tokenization=sae.tokenization_id)
        )
    assert refused.value.field == "more_saes"
    with pytest.raises(SpecInvalid, match="twice"):
        FeatureRunSpec(sae=sae.pk, more_saes=(sae.pk,), tokenization=1)


def test_an_sae_described_beside_another_has_one_run_at_a_time_too():
    first, second = sae_make(), sae_make()
    Sae.objects.filter(pk=second.pk).update(language_model=first.language_model)
    services.feature_run_start(
        spec=FeatureRunSpec(sae=first.pk, more_saes=(second.pk,), tokenization=first.tokenization_id)
    )
    with pytest.raises(AppError, match="already finds"):
        services.feature_run_start(spec=FeatureRunSpec(sae=second.pk, tokenization=first.tokenization_id))


def test_deleting_a_run_removes_its_files_but_no_words(sae):
    run = sae.feature_runs.get()
    services.feature_label_set(feature=sae.features.get(index=1), label="rain", category="")
    folder = data_path("features", run.pk)
    held = folder_bytes(folder)
    assert services.feature_run_delete(run=run) == held > 0
    assert not folder.exists()
    assert sae.features.get(index=1).label == "rain" and sae.features.get(index=1).run is None


def second_run(sae, scale=2.0):
    """A later finished run with stronger activations."""
    run, job, spec = run_make(sae)
    draft = data_path("tmp", f"job-{job.pk}")
    described = files_write(draft / "sae-00", d_sae=sae.d_sae, scale=scale)
    FeatureRunRunner().finish(job, spec, result_make(described), str(draft))
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    return run


def test_without_the_newest_run_features_show_the_one_before_again(client_in, sae):
    first = sae.feature_runs.get()
    services.feature_label_set(feature=sae.features.get(index=5), label="storm", category="")
    second = second_run(sae)
    assert sae.features.get(index=5).maximum == 10
    assert f"feature run {first.pk} measured" in client_in.get(reverse("features:run-delete", args=[second.pk])).text
    services.feature_run_delete(run=second)
    again = sae.features.get(index=5)
    assert (again.run, again.maximum, again.label) == (first, 5, "storm")
    text = client_in.get(reverse("features:run-delete", args=[first.pk])).text
    assert "examples are gone" in text and "measured" not in text


def test_an_older_run_goes_without_a_trace_and_one_without_files_changes_nothing(sae):
    first, second = sae.feature_runs.get(), second_run(sae)
    third = second_run(sae, scale=3.0)
    services.feature_run_delete(run=second)
    assert sae.features.get(index=5).run == third
    shutil.rmtree(data_path("features", first.pk))
    services.feature_run_delete(run=third)
    kept = sae.features.get(index=5)
    assert (kept.run, kept.maximum) == (None, 15)


def test_a_run_under_way_is_not_deleted():
    run, _, _ = run_make(sae_make())
    with pytest.raises(AppError, match="still works"):
        services.feature_run_delete(run=run)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("Emotion>Positive", "Emotion > Positive"), (" > a >> b ", "a > b"), ("", ""), ("one\0  two", "one two")],
)
def test_categories_are_paths_in_one_spelling(typed, kept):
    assert services.category_path(typed) == kept


def test_an_update_refuses_unknown_names_and_wrong_types(sae):
    feature = sae.features.get(index=1)
    for fields in ({"density": 1.0}, {"label": 3}, {"is_starred": "yes"}):
        with pytest.raises(AppError) as refused:
            services.feature_update(feature=feature, **fields)
        assert refused.value.field == next(iter(fields))


def test_words_without_a_source_lose_it_when_cleared(sae):
    feature = services.feature_label_set(feature=sae.features.get(index=1), label="rain", category="", source="llm")
    assert feature.label_source == "llm"
    assert services.feature_label_set(feature=feature, label="", category="").label_source == ""


def label_all(sae, **labels):
    for name, index in labels.items():
        services.feature_label_set(feature=sae.features.get(index=index), label=name, category="")


def test_labels_merge_and_rename_within_the_given_features_only(sae):
    label_all(sae, rain=1, showers=2, wind=3)
    other = sae_make()
    finished_run_make(other)
    label_all(other, rain=1)
    changed = services.labels_merge(features=sae.features.all(), labels=["rain", "showers"], into="wet weather")
    assert changed == 2
    assert set(sae.features.exclude(label="").values_list("label", flat=True)) == {"wet weather", "wind"}
    assert other.features.get(index=1).label == "rain"
    assert services.label_rename(features=sae.features.all(), old="wind", new="breeze") == 1


def test_a_category_is_renamed_with_all_below_it_and_nothing_beside_it(sae):
    for index, category in {1: "Emotion", 2: "Emotion > Joy", 3: "Emotional"}.items():
        services.feature_label_set(feature=sae.features.get(index=index), label="", category=category)
    assert services.category_rename(features=sae.features.all(), old="Emotion", new="Feeling") == 2
    assert list(sae.features.filter(index__in=(1, 2, 3)).values_list("category", flat=True)) == [
        "Feeling",
        "Feeling > Joy",
        "Emotional",
    ]


def test_a_rename_that_gets_too_long_changes_nothing(sae):
    for index, category in {1: "A", 2: "A > b"}.items():
        services.feature_label_set(feature=sae.features.get(index=index), label="", category=category)
    with pytest.raises(AppError, match="characters"), transaction.atomic():
        services.category_rename(features=sae.features.all(), old="A", new="x" * 199)
    assert sae.features.filter(category__startswith="A").count() == 2


def test_clearing_takes_words_but_neither_notes_nor_stars(sae):
    label_all(sae, rain=1)
    feature = sae.features.get(index=1)
    services.feature_notes_set(feature=feature, notes="wet")
    services.feature_star_set(feature=feature, is_starred=True)
    services.labels_clear(features=Feature.objects.filter(index=1))
    feature.refresh_from_db()
    assert (feature.label, feature.notes, feature.is_starred) == ("", "wet", True)


@pytest.mark.parametrize("work", [lambda sae: language_make(sae, 1), lambda sae: ablation_make(sae, 5)])
def test_an_sae_whose_features_are_at_work_cannot_be_deleted(work):
    sae = sae_make()
    finished_run_make(sae)
    work(sae)
    with pytest.raises(AppError) as refused:
        sae_delete(sae=sae)
    assert refused.value.status == 409
    assert Sae.objects.filter(pk=sae.pk).exists()
