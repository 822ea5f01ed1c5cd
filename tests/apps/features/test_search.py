"""The search box: tokens whole, words by their beginning, notes by scan; and that terms follow every change of words."""

from functools import reduce

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from hypothesis import given
from hypothesis import strategies as st

from apps.features import services
from apps.features.models import Feature, FeatureTerm
from apps.features.search import index_sets
from apps.features.search.terms import terms_of, words_in
from apps.features.selectors import feature_list
from tests.apps.features.worlds import finished_run_make, sae_make

pytestmark = pytest.mark.django_db
SETS = st.lists(st.sets(st.integers(0, 300)), min_size=1, max_size=5)


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def label(sae, index, label="", category=""):
    services.feature_label_set(feature=sae.features.get(index=index), label=label, category=category)


def found(sae, query="", **asked):
    return list(feature_list(sae=sae.pk, query=query, **({"sort": "index"} | asked)).values_list("index", flat=True))


def words_known(sae):
    """Every word and category of the SAE → the features it leads to."""
    kinds = (FeatureTerm.Kind.WORD, FeatureTerm.Kind.CATEGORY)
    terms = FeatureTerm.objects.filter(sae=sae, kind__in=kinds)
    return {(term.kind, term.text): term.features.tolist() for term in terms}


def words_expected(sae):
    """The same, made from the rows."""
    made = {}
    for feature in sae.features.order_by("index"):
        for term in terms_of(feature.label, feature.category):
            made.setdefault(term, []).append(feature.index)
    return made


@pytest.mark.parametrize(
    ("words", "query"),
    [
        ("НАБЛЮДЕНИЯ природы", "наблюд"),
        ("École", "e\u0301col"),
        ("e\u0301cole", "ÉCOLE"),
        ("Hauptstraße", "HAUPTSTRASSE"),
        ("İstanbul", "istan"),
        ("ﬁne", "FIN"),
    ],
)
def test_words_and_notes_are_found_in_any_case_and_composition(sae, words, query):
    label(sae, 3, words, f"Kinds > {words}")
    services.feature_update(feature=sae.features.get(index=4), notes=f"seen: {words}")
    assert found(sae, query) == [3]
    assert found(sae, category=f"kinds > {words.swapcase()}") == [3]
    assert found(sae, f'notes:"{query}"') == [4]


def test_a_token_is_found_however_its_letters_are_composed(sae):
    for index, token in enumerate(("École", "E\u0301clat")):
        FeatureTerm.objects.create(
            sae=sae, kind=FeatureTerm.Kind.FIRES_ON, text=token, features=index_sets.index_set([index])
        )
    assert found(sae, "token:E\u0301cole") == found(sae, "token:École") == [0]
    assert found(sae, "token:Éclat") == found(sae, "Éclat") == [1]
    assert found(sae, "token:école") == []


@given(SETS)
def test_union_and_intersection_are_those_of_python(sets):
    arrays = [index_sets.index_set(members) for members in sets]
    assert index_sets.union(arrays).tolist() == sorted(set.union(*sets))
    assert index_sets.intersection(arrays).tolist() == sorted(reduce(set.__and__, sets))


def test_a_set_is_stored_as_it_was(sae):
    members = index_sets.index_set([70_000, 3, 3, 0])
    term = FeatureTerm.objects.create(sae=sae, kind=FeatureTerm.Kind.WORD, text="x", features=members)
    term.refresh_from_db()
    assert term.features.tolist() == [0, 3, 70_000]


def test_a_large_set_narrows_like_a_small_one(sae, monkeypatch):
    few = index_sets.index_set([1, 4, 5])
    assert list(sae.features.filter(index_sets.within(few)).values_list("index", flat=True)) == [1, 4, 5]
    monkeypatch.setattr(index_sets, "MOST_LISTED", 0)
    assert list(sae.features.filter(index_sets.within(few)).values_list("index", flat=True)) == [1, 4, 5]
    assert not sae.features.filter(index_sets.within(index_sets.index_set())).exists()


def test_a_token_is_found_whole_with_and_without_its_blank(sae):
    assert found(sae, "token:sun") == found(sae, 'token:" sun"') == found(sae, "token:Ġsun") == [2]
    assert found(sae, fires_on="sun") == found(sae, fires_on=" sun ") == found(sae, "sun") == [2]
    assert found(sae, "token:su") == found(sae, "token:Sun") == []


def test_marks_and_line_breaks_are_found_as_the_list_shows_them(sae):
    assert found(sae, "<b>") == [3] and found(sae, "token:↵") == [4] and found(sae, ".") == [1, 2, 3, 4, 5]


def test_what_a_feature_promotes_is_found_apart_from_what_it_fires_on(sae):
    assert found(sae, "promotes:wind") == [0, 1, 2, 3, 4, 5]
    assert found(sae, "token:wind") == [5]


def test_words_are_found_by_their_beginning_in_any_case(sae):
    label(sae, 2, "Wet Weather, mostly", "Nature > Sky")
    label(sae, 3, "weather-beaten")
    assert found(sae, "wea") == found(sae, "WEA") == [2, 3]
    assert found(sae, "wea wet") == found(sae, '"wet weather"') == [2]
    assert found(sae, "nat") == [2] and found(sae, "eather") == []


def test_all_parts_of_a_query_must_be_found(sae):
    label(sae, 2, "wet weather")
    label(sae, 3, "wet weather")
    assert found(sae, "wet token:sun") == [2]
    assert found(sae, "wet", fires_on="sun", indices=[2, 3]) == [2]
    assert found(sae, "wet", indices=[3]) == [3]


def test_words_of_scripts_without_case_and_with_special_folding_are_found(sae):
    label(sae, 2, "Straße İstanbul")
    label(sae, 3, "天気 予報")
    assert found(sae, "STRASSE") == [2] and found(sae, "天") == [3]
    assert words_in("a_b ß") == ["a_b", "ss"]


def test_percent_signs_and_quotes_are_only_letters(sae):
    label(sae, 2, "100% sure_thing")
    assert found(sae, "sure_") == [2] and found(sae, "surex") == [] and found(sae, "%") == []
    assert found(sae, '"') == [] and found(sae, "token:'") == []


def test_notes_are_found_when_asked_for(sae):
    services.feature_notes_set(feature=sae.features.get(index=4), notes="A wet day\nin May")
    assert found(sae, "notes:WET") == found(sae, 'notes:"wet day"') == [4]
    assert found(sae, "wet") == []


def test_a_category_is_found_with_all_below_it_and_nothing_beside_it(sae):
    for index, category in {1: "Emotion", 2: "Emotion > Joy", 3: "Emotional", 4: "Joy"}.items():
        label(sae, index, category=category)
    assert found(sae, category="emotion") == [1, 2]
    assert found(sae, category="Emotion>joy") == [2]


def test_another_sae_is_not_searched_unless_all_are(sae):
    other = sae_make()
    finished_run_make(other)
    label(other, 1, "weather")
    assert found(sae, "weather") == []
    assert list(feature_list(query="weather").values_list("sae", "index")) == [(other.pk, 1)]


def test_terms_follow_every_change_of_words(sae):
    for index, words in {1: ("rain drops", "Wet > Rain"), 2: ("rain", "Wet"), 3: ("wind", "Dry > Wind")}.items():
        label(sae, index, *words)
    assert words_known(sae) == words_expected(sae)
    all_of_it = sae.features.all()
    services.labels_merge(features=all_of_it, labels=["rain"], into="rain fall")
    assert words_known(sae) == words_expected(sae) and found(sae, "fall") == [2]
    services.category_rename(features=all_of_it, old="Wet", new="Water")
    assert words_known(sae) == words_expected(sae) and found(sae, category="water") == [1, 2]
    services.features_label(features=sae.features.filter(index__gte=3), category="Rest")
    assert words_known(sae) == words_expected(sae) and found(sae, category="Rest") == [3, 4, 5]
    services.feature_update(feature=sae.features.get(index=1), label="drizzle")
    assert words_known(sae) == words_expected(sae) and found(sae, "drops") == []
    services.labels_clear(features=all_of_it)
    assert words_known(sae) == {}


def test_a_second_run_replaces_what_features_fire_on_and_keeps_words(sae):
    label(sae, 2, "sunshine")
    before = FeatureTerm.objects.count()
    finished_run_make(sae)
    assert FeatureTerm.objects.count() == before
    assert found(sae, "token:sun") == found(sae, "sunsh") == [2]


def test_terms_go_with_their_sae(sae):
    Feature.objects.filter(sae=sae).delete()
    sae.feature_runs.all().delete()
    sae.delete()
    assert not FeatureTerm.objects.exists()


def test_words_that_were_there_before_folding_are_found_too(sae):
    label(sae, 2, "e\u0301cole Straße", "İl > Schön")
    label(sae, 3, "plain", "İl")
    kept = words_known(sae)
    FeatureTerm.objects.filter(sae=sae, kind=FeatureTerm.Kind.CATEGORY).delete()
    FeatureTerm.objects.create(sae=sae, kind=FeatureTerm.Kind.WORD, text="cole", features=index_sets.index_set([2]))
    executor = MigrationExecutor(connection)
    apps = executor.loader.project_state([("features", "0010_fold_words_of_labels")]).apps
    executor.loader.get_migration("features", "0010_fold_words_of_labels").operations[0].code(apps, None)
    assert words_known(sae) == kept == words_expected(sae)
