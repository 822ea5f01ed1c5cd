"""How the database answers the feature list: by its indexes, never by reading all rows. Holds on both databases."""

import pytest
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Count
from django.test.utils import CaptureQueriesContext

from apps.features.forms import RANGES, FeatureFilterForm
from apps.features.models import Feature, FeatureTerm
from apps.features.search.queries import _notes_found, begins
from apps.features.selectors import SORTS, FoundFeatures
from apps.features.services import features_label
from tests.apps.features.worlds import sae_make

ROWS = 10_000
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sae(db):
    """One of two SAEs of many features. PostgreSQL analyzes its tables by itself sooner or later, SQLite never does."""
    others, sae = sae_make(d_sae=ROWS), sae_make(d_sae=ROWS)
    Feature.objects.bulk_create(
        Feature(sae=one, index=i, density=(i * 7919 % ROWS) / ROWS, maximum=i * 31 % 97, gloss="words " * 40)
        for one in (others, sae)
        for i in range(ROWS)
    )
    FeatureTerm.objects.bulk_create(
        FeatureTerm(sae=sae, kind=FeatureTerm.Kind.WORD, text=f"w{i}", features=b"") for i in range(5_000)
    )
    features_label(features=sae.features.filter(index__lt=5), label="wet weather", category="Sky > Rain")
    sae.features.filter(index__lt=20).update(notes="a wet day")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    return sae


def scans(plan, table):
    """Whether a plan reads a whole table."""
    return f"SCAN {table}" in plan or f"Seq Scan on {table}" in plan


LISTS = (
    {"min_density": "0.5", "sort": "maximum"},
    {"min_max": "20", "max_density": "0.9", "min_score": "0", "sort": "agreement"},
    {"labelled": "yes", "starred": "on", "sort": "score"},
    *({f"min_{span.key}": "0.1"} for span in RANGES),
    *({"sort": sort} for sort in SORTS),
)


def test_counting_and_choosing_a_page_read_one_index_alone(sae):
    for asked in LISTS:
        found = FeatureFilterForm(asked).features_asked(sae=sae.pk)
        page = found.values_list("sae_id", "index")[:50].explain()
        count = found.order_by().values("sae").annotate(n=Count("*")).explain()
        for plan in (page, count):
            assert not scans(plan, "features_feature"), (asked, plan)
            assert "COVERING INDEX" in plan or "Index Only Scan" in plan, (asked, plan)
        if "sort" in asked and asked["sort"] != "index":
            assert "feature_numbers" in page, (asked, page)


def test_words_and_tokens_are_looked_up_in_the_index_of_terms(sae):
    terms = FeatureTerm.objects.filter(sae=sae, kind=FeatureTerm.Kind.WORD)
    for wanted in (terms.filter(begins("w1")), terms.filter(text="w1234")):
        found = wanted.values_list("features", flat=True).explain()
        assert "one_term" in found and not scans(found, "features_featureterm"), found
    # the bounds of the text stand in the index condition, not in a filter behind it
    found = terms.filter(begins("w123")).explain()
    assert "text>" in found or "text ~>=~" in found, found


def test_notes_are_scanned_among_features_that_have_some(sae):
    with CaptureQueriesContext(connection) as made:
        assert len(_notes_found(sae.pk, "WET")) == 20
    statement = made[0]["sql"]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{statement}")
        found = " ".join(str(row) for row in cursor.fetchall())
    assert "feature_noted" in found, found


def test_a_late_page_is_the_one_that_sorting_everything_gives(sae):
    found = FeatureFilterForm({"sort": "maximum"}).features_asked(sae=sae.pk)
    everything = list(found.values_list("index", flat=True))
    pages = Paginator(FoundFeatures(found), 30)
    for number in (1, 2, 300, pages.num_pages - 1, pages.num_pages):
        assert [row.index for row in pages.page(number)] == everything[30 * (number - 1) : 30 * number]
