"""The feature pages: list, one feature in all its states, words, star, the form of a run."""

import re

import pytest
from django.urls import reverse

from apps.core.storage import artifact_remove, data_path
from apps.features.forms import RANGES
from apps.features.models import FeatureRun
from apps.features.services import feature_label_set, feature_run_delete
from tests.apps.features.worlds import VOCABULARY, finished_run_make, run_make, sae_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def listed(client, sae, **query):
    """The feature numbers of the list page's rows, in order."""
    page = client.get(reverse("features:list", args=[sae.pk]), query)
    assert page.status_code == 200
    return [int(n) for n in re.findall(rf'<th scope="row"><a href="/features/sae/{sae.pk}/(\d+)/"', page.text)]


def shown(client, sae, index, **query):
    page = client.get(reverse("features:detail", args=[sae.pk, index]), query)
    assert page.status_code == 200
    return page.text


def test_the_list_begins_with_what_can_be_named_and_sorts_by_density_maximum_and_number(client_in, sae):
    assert listed(client_in, sae) == [1, 2, 3, 4, 5, 0]
    assert listed(client_in, sae, sort="index") == [0, 1, 2, 3, 4, 5]
    assert listed(client_in, sae, sort="density") == [5, 4, 3, 2, 1, 0]
    assert listed(client_in, sae, sort="rarest")[:2] == [0, 1]
    assert listed(client_in, sae, sort="maximum")[0] == 5


def test_the_list_finds_words_in_labels_categories_and_tokens(client_in, sae):
    feature_label_set(feature=sae.features.get(index=3), label="Bold type", category="Markup > HTML")
    assert listed(client_in, sae, query="bold") == [3]
    assert listed(client_in, sae, query="markup") == [3]
    assert listed(client_in, sae, query="sun") == [2]
    assert listed(client_in, sae, query="nothing such") == []
    assert listed(client_in, sae, query="mark token:<b>") == [3]


def test_the_list_filters_by_numbers_stars_and_labels(client_in, sae):
    sae.features.filter(index=4).update(is_starred=True)
    feature_label_set(feature=sae.features.get(index=3), label="Bold type", category="")
    assert listed(client_in, sae, min_density="0.0015", max_density="0.0045") == [2, 3, 4]
    assert listed(client_in, sae, min_max="4") == [4, 5]
    assert listed(client_in, sae, starred="on") == [4]
    assert listed(client_in, sae, labelled="yes") == [3]
    assert listed(client_in, sae, labelled="no", sort="index") == [0, 1, 2, 4, 5]


def test_the_list_filters_by_every_statistic_from_and_to(client_in, sae):
    for number, span in enumerate(RANGES):
        unit = 1 if span.column == "firings" else 0.05
        sae.features.update(**{span.column: 0})
        for index in (2, 3, 4):
            sae.features.filter(index=index).update(**{span.column: (index + number) * unit})
        low, high = (2.5 + number) * unit, (3.5 + number) * unit
        assert listed(client_in, sae, sort="index", **{f"min_{span.key}": low}) == [3, 4]
        assert listed(client_in, sae, **{f"min_{span.key}": low, f"max_{span.key}": high}) == [3]


def test_the_list_takes_tokens_categories_and_numbers(client_in, sae):
    feature_label_set(feature=sae.features.get(index=3), label="Bold type", category="Markup > HTML")
    assert listed(client_in, sae, fires_on="sun") == [2]
    assert listed(client_in, sae, category="markup") == [3]
    assert listed(client_in, sae, features="0, 2-4", sort="maximum") == [4, 3, 2, 0]
    page = client_in.get(reverse("features:list", args=[sae.pk]), {"features": "1-x"})
    assert "no number of a feature" in page.text
    for span in ("4-2", "-1", "0-99999999"):
        assert listed(client_in, sae, features=span) == []


def test_a_folded_filter_that_is_used_is_unfolded_and_counted(client_in, sae):
    url = reverse("features:list", args=[sae.pk])
    assert '<details class="more-filters">' in client_in.get(url).text
    page = client_in.get(url, {"min_mean": "1", "category": "x"}).text
    assert '<details class="more-filters" open>' in page and '<span class="count">2</span>' in page


def test_a_filter_that_is_no_number_is_said_and_finds_nothing(client_in, sae):
    page = client_in.get(reverse("features:list", args=[sae.pk]), {"min_density": "many"})
    assert page.status_code == 200 and "Density from: Enter a number." in page.text


def test_htmx_gets_the_results_alone_with_a_spoken_count(client_in, sae):
    page = client_in.get(reverse("features:list", args=[sae.pk]), {"query": "sun"}, headers={"HX-Request": "true"})
    assert "<html" not in page.text
    assert 'role="status"' in page.text and "feature match" in page.text


def test_the_list_shows_where_each_feature_is_strongest(client_in, sae):
    text = client_in.get(reverse("features:list", args=[sae.pk])).text
    assert text.count("data-strip") == 5


def test_the_list_takes_as_many_queries_for_fifty_rows_as_for_five(client_in, django_assert_max_num_queries):
    large = sae_make(d_sae=60)
    finished_run_make(large)
    with django_assert_max_num_queries(12):
        assert len(listed(client_in, large)) == 50


def test_the_list_without_a_run_says_what_to_do(client_in):
    sae = sae_make()
    page = client_in.get(reverse("features:list", args=[sae.pk]))
    assert "No features yet" in page.text and f"/features/new/?sae={sae.pk}" in page.text


def test_a_run_under_way_shows_its_job(client_in):
    sae = sae_make()
    run, job, _ = run_make(sae)
    page = client_in.get(reverse("features:list", args=[sae.pk]))
    assert f'id="job-{job.pk}"' in page.text and run.topic in page.text


def test_markup_in_tokens_and_words_is_shown_not_obeyed(client_in, sae):
    feature = sae.features.get(index=3)
    feature_label_set(feature=feature, label="<script>alert(1)</script>", category="<i> > x")
    for text in (shown(client_in, sae, 3), client_in.get(reverse("features:list", args=[sae.pk])).text):
        assert "<script>alert(1)" not in text and "&lt;script&gt;alert(1)" in text
        assert "<b>" not in text and "&lt;b&gt;" in text


def test_a_feature_page_has_statistics_with_their_n_and_all_groups(client_in, sae):
    text = shown(client_in, sae, 5)
    assert "Density" in text and "firings / tokens" in text and 'title="10,000"' in text
    assert "Strongest" in text and "Where it is silent" in text
    assert "Near misses: the same token, but silent" in text
    groups = re.findall(
        r"<h3 class=\"row\"><span>Activation <data[^>]*>([\d.]+)</data> to <data[^>]*>([\d.]+)</data>", text
    )
    assert groups == [("2.5", "5"), ("0", "2.5")]
    assert "Promoted" in text and "Suppressed" in text


def test_a_feature_page_shows_what_it_fires_on_its_neighbours_and_how_well_its_contexts_agree(client_in, sae):
    feature_label_set(feature=sae.features.get(index=2), label="sunshine", category="")
    text = shown(client_in, sae, 1)
    assert "Fires on" in text and 'title="Ġrain">rain</span>' in text.replace("·", "")
    assert "Agreement of contexts" in text and "agreement / 2" in text
    assert text.count("sunshine") == 2 and "0.50" in text and "0.40" in text
    assert "Histogram of logits of all tokens from -2.000 to 2.000" in text


def test_the_activation_histogram_is_linear_or_logarithmic_as_the_url_says(client_in, sae):
    linear, logarithmic = shown(client_in, sae, 5), shown(client_in, sae, 5, bins="log")
    assert "4.900 to 5.000: 7" in linear and "4.900 to 5.000: 7" not in logarithmic
    assert "3.972 to 5.000: 7" in logarithmic and "3.972 to 5.000: 7" not in linear


def test_the_list_sorts_and_filters_by_agreement(client_in, sae):
    assert listed(client_in, sae, sort="score")[:2] == [5, 4]
    assert listed(client_in, sae, min_score="0.6") == [4, 5]


def test_equal_examples_are_shown_once_with_their_number(client_in, sae):
    assert "× 2</span>" in shown(client_in, sae, 5)


def test_context_width_and_line_breaks_follow_the_url(client_in, sae):
    text = shown(client_in, sae, 4, width="full", breaks="1")
    assert "<br>" in text and 'href="?width=5&amp;breaks=1"' in text
    assert "<br>" not in shown(client_in, sae, 4)


def test_words_or_tokens_follow_the_url(client_in, sae):
    tokens, words = shown(client_in, sae, 5), shown(client_in, sae, 5, words="1")
    assert 'href="?words=1"' in tokens and "Words or tokens" in tokens
    # "Ġwind" is one token and one word; the two full stops behind it are two of each.
    assert "the peak&#x27;s word is outlined" in words.replace("'", "&#x27;")
    assert words.count('class="token peak"') == tokens.count('class="token peak"') > 0


def test_a_word_on_the_page_has_the_strength_of_its_strongest_token(client_in, sae, monkeypatch):
    monkeypatch.setattr("tests.apps.features.worlds.VOCABULARY", [*VOCABULARY[:6], "Ġthe", "ly"])
    other = sae_make()
    finished_run_make(other)
    text = shown(client_in, other, 5, words="1")
    assert '<span class="token peak" style="--a:1.000" data-tip="·windlyly · 5 ·' in text
    assert "tokens Ġwind ly ly" in text


def test_the_first_feature_has_no_previous_and_the_last_no_next(client_in, sae):
    first, last = shown(client_in, sae, 0), shown(client_in, sae, 5)
    assert 'rel="prev"' not in first and 'rel="next"' in first
    assert 'rel="prev"' in last and 'rel="next"' not in last


def test_walking_keeps_the_view(client_in, sae):
    assert f'href="/features/sae/{sae.pk}/3/?width=full"' in shown(client_in, sae, 2, width="full")


def test_a_dead_feature_says_so(client_in, sae):
    text = shown(client_in, sae, 0)
    assert "This feature is dead" in text and "What it writes" not in text


def test_a_feature_without_a_run_leads_to_one(client_in):
    sae = sae_make()
    assert f"/features/new/?sae={sae.pk}" in shown(client_in, sae, 2)


def test_a_feature_beyond_the_sae_is_not_found(client_in, sae):
    assert client_in.get(reverse("features:detail", args=[sae.pk, 6])).status_code == 404


def test_a_feature_whose_run_was_deleted_keeps_its_words(client_in, sae):
    feature_label_set(feature=sae.features.get(index=2), label="sunshine", category="")
    FeatureRun.objects.all().update(ready_at=None)
    run = FeatureRun.objects.get()
    run.job.events.all().delete()
    feature_run_delete(run=run)
    text = shown(client_in, sae, 2)
    assert "sunshine" in text and "was deleted" in text


def test_a_feature_whose_files_are_gone_says_so(client_in, sae):
    artifact_remove(data_path("features", FeatureRun.objects.get().pk))
    assert "cannot be read" in shown(client_in, sae, 2)
    assert len(listed(client_in, sae)) == sae.d_sae


def test_the_feature_page_takes_few_queries(client_in, sae, django_assert_max_num_queries):
    with django_assert_max_num_queries(13):
        shown(client_in, sae, 5)


def test_words_are_saved_and_the_title_follows(client_in, sae):
    url = reverse("features:words", args=[sae.pk, 2])
    words = {"label": "  sun  shine ", "category": "Weather>Good"}
    page = client_in.post(url, words, headers={"HX-Request": "true"})
    feature = sae.features.get(index=2)
    assert (feature.label, feature.category, feature.label_source) == ("sun shine", "Weather > Good", "manual")
    assert ">sun shine</h1>" in page.text and 'hx-swap-oob="true"' in page.text
    assert client_in.post(url, words).headers["Location"] == feature.get_absolute_url()


def test_words_that_are_too_long_are_refused_with_a_page_that_still_holds_them(client_in, sae):
    page = client_in.post(reverse("features:words", args=[sae.pk, 2]), {"label": "x" * 301, "category": ""})
    assert page.status_code == 422 and "x" * 301 in page.text
    assert sae.features.get(index=2).label == ""


def test_the_star_goes_on_and_off(client_in, sae):
    url = reverse("features:star", args=[sae.pk, 2])
    page = client_in.post(url, {"is_starred": "1"}, headers={"HX-Request": "true"})
    assert sae.features.get(index=2).is_starred and 'aria-pressed="true"' in page.text
    client_in.post(url, {"is_starred": "0"})
    assert not sae.features.get(index=2).is_starred


def test_notes_are_saved(client_in, sae):
    client_in.post(reverse("features:notes", args=[sae.pk, 2]), {"notes": "two\nlines"})
    assert sae.features.get(index=2).notes == "two\nlines"


def test_random_leads_to_a_feature_that_fires_and_keeps_the_view(client_in, sae):
    for _ in range(5):
        target = client_in.get(reverse("features:random", args=[sae.pk]), {"width": "5"}).headers["Location"]
        assert re.fullmatch(rf"/features/sae/{sae.pk}/[1-5]/\?width=5", target)


def test_go_leads_to_a_number_and_refuses_those_beyond_the_sae(client_in, sae):
    go = reverse("features:go", args=[sae.pk])
    assert client_in.get(go, {"index": "4"}).headers["Location"] == f"/features/sae/{sae.pk}/4/"
    assert "0 to 5" in client_in.get(go, {"index": "6"}).text
    assert client_in.get(go, {"index": "-1"}).status_code == 404


def test_the_form_of_a_run_is_prefilled_and_starts_one(client_in):
    sae = sae_make()
    url = reverse("features:new")
    assert f'<option value="{sae.tokenization_id}" selected>' in client_in.get(url, {"sae": sae.pk}).text
    sent = {"sae": sae.pk, "tokenization": sae.tokenization_id}
    assert client_in.post(url, sent).headers["Location"] == reverse("features:list", args=[sae.pk])
    again = client_in.post(url, sent)
    assert again.status_code == 422 and "already finds the features" in again.text


def test_deleting_a_run_asks_first(client_in, sae):
    run = FeatureRun.objects.get()
    url = reverse("features:run-delete", args=[run.pk])
    assert "labels and notes" in client_in.get(url).text
    client_in.post(url)
    assert not FeatureRun.objects.exists() and sae.features.count() == 6


def test_all_runs_are_listed_with_their_state_in_few_queries(client_in, sae, django_assert_max_num_queries):
    run_make(sae)
    with django_assert_max_num_queries(8):
        text = client_in.get("/features/").text
    assert text.count("<tr data-row>") == 2
    assert "queued" in text and "ready" in text and "of <data" in text


def test_without_runs_the_list_of_runs_leads_to_the_form(client_in):
    assert "/features/new/" in client_in.get("/features/").text


def test_an_address_with_empty_fields_is_led_to_a_short_one(client_in, sae):
    url = f"/features/sae/{sae.pk}/"
    asked = {"query": "wind", "fires_on": "", "sort": "density", "min_density": "", "max_max": ""}
    assert client_in.get(url, asked).headers["Location"] == f"{url}?query=wind&sort=density"
    assert client_in.get(url, {"query": ""}, headers={"HX-Request": "true"}).headers["Location"] == url
    assert client_in.get(url, {"query": "wind", "sort": "density"}).status_code == 200


def test_names_are_marked_as_automatic_until_somebody_labels_the_feature(client_in, sae):
    feature_label_set(feature=sae.features.get(index=2), label="sunshine", category="")
    text = client_in.get(f"/features/sae/{sae.pk}/").text
    assert re.search(r'auto-name" title="Named automatically[^"]*">rain \(100 %\)</span>', text)
    assert "sun (100 %)</span>" not in text and '<span class="feature-label">sunshine</span>' in text
    assert "auto-name" in shown(client_in, sae, 1) and "Peaks on “rain” (100 %)." in shown(client_in, sae, 1)
    judged = shown(client_in, sae, 1, labels="hidden")
    assert "rain (100 %)" not in judged and "Peaks on" not in judged


def test_the_list_filters_by_peculiar_causes(client_in, sae):
    assert listed(client_in, sae, peculiarity="dead") == [0]
    assert listed(client_in, sae, peculiarity="none") == [1, 2, 3, 4, 5]
    assert client_in.get("/api/v1/features", {"sae": sae.pk, "peculiarity": "odd"}).status_code == 400
