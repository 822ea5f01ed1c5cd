"""Filters that act when a run is read: they hide, say so, and change nothing that is stored or counted."""

import re

import pytest
from django.http import QueryDict
from django.urls import reverse

from apps.features.artifacts import Example
from apps.features.reading import ReadingFilter
from apps.features.services import feature_run_start
from tests.apps.features.worlds import finished_run_make, sae_make
from tests.apps.prepared import BYTE_LEVEL
from workers.engine.specs.features import FeatureRunSpec
from workers.engine.text.token_kinds import TokenKind

pytestmark = pytest.mark.django_db


@pytest.fixture
def sae(db):
    """Latent 3 peaks on <b>, latent 4 on a line break, latent 1 on " rain"."""
    sae = sae_make()
    finished_run_make(sae)
    return sae


def shown(client, sae, index, **query):
    page = client.get(reverse("features:detail", args=[sae.pk, index]), query)
    assert page.status_code == 200
    return page.text


def view_set(sae, **view):
    sae.feature_runs.update(view=view)


def strips(text: str) -> int:
    """Examples in sight, silent ones aside."""
    return text.split('id="silent-examples"')[0].count("data-strip")


def test_a_run_keeps_the_filters_of_its_form_as_its_view(sae):
    spec = FeatureRunSpec(
        sae=sae.pk, tokenization=sae.tokenization_id, filter_numbers=True, activation_threshold=0.2, min_density=0.001
    )
    run = feature_run_start(spec=spec)
    assert run.view == {"hidden": ["special", "number"], "weakest": 0.2, "min_density": 0.001}
    assert ReadingFilter.of(run) == ReadingFilter(frozenset({TokenKind.SPECIAL, TokenKind.NUMBER}), 0.2, spec.view)


def test_the_runs_view_hides_examples_and_says_how_many(client_in, sae):
    everything = strips(shown(client_in, sae, 4))
    assert everything > 0
    view_set(sae, hidden=["punctuation"])
    text = shown(client_in, sae, 4)
    assert strips(text) == 0
    hidden = re.search(r"Filter: (\d+) examples? hidden", text)
    assert hidden and int(hidden[1]) >= everything
    assert "Show everything" in text and "hidden by the" in text
    assert strips(shown(client_in, sae, 1)) > 0  # " rain" is no punctuation


def test_the_address_overrules_the_runs_view(client_in, sae):
    view_set(sae, hidden=["punctuation"], weakest=0.9)
    assert strips(shown(client_in, sae, 4, hide="", weakest="0")) > strips(shown(client_in, sae, 4, hide=""))
    assert strips(shown(client_in, sae, 4, hide="number", weakest="0")) == strips(
        shown(client_in, sae, 4, hide="", weakest="0")
    )


def test_weak_examples_go_out_of_sight_but_not_silent_windows_and_near_misses(client_in, sae):
    text = shown(client_in, sae, 5, weakest="0.9")
    assert "Strongest" in text and "Near misses" in text and 'id="silent-examples"' in text
    assert strips(text) < strips(shown(client_in, sae, 5))


def test_statistics_do_not_change_with_the_filter(client_in, sae):
    def stats(**query):
        return re.search(r'<dl class="stats">.*?</dl>', shown(client_in, sae, 4, **query), re.S)[0]

    assert stats(hide="punctuation") == stats()


def test_a_chip_turns_its_kind_on_and_off_and_the_default_leaves_the_address_clean():
    reading = ReadingFilter.of(None, QueryDict("hide=number"))
    chips = {chip.words: chip for chip in reading.kind_chips}
    assert chips["numbers"].is_on and chips["numbers"].value is None
    assert not chips["stop words"].is_on and chips["stop words"].value == "number,stop_word"


@pytest.mark.parametrize("query", ["weakest=many", "weakest=2", "weakest=nan", "weakest=-1", "hide=nothing,such"])
def test_nonsense_in_the_address_counts_for_nothing(query):
    assert ReadingFilter.of(None, QueryDict(query)) == ReadingFilter.of(
        None, QueryDict("hide=" if "hide" in query else "")
    )


def test_the_json_has_all_examples_and_says_which_are_out_of_sight(client_in, sae):
    view_set(sae, hidden=["punctuation"])
    found = client_in.get(reverse("api:feature", args=[sae.features.get(index=4).pk])).json()
    by_kind = {group["kind"]: [example["hidden_by"] for example in group["examples"]] for group in found["examples"]}
    assert set(by_kind["top"]) == {"punctuation"} and set(by_kind["silent"]) == {""}


def test_a_peak_inside_a_word_is_a_part_of_it_and_a_whole_word_is_not():
    reading = ReadingFilter(frozenset({TokenKind.FRAGMENT}))

    def example(tokens: tuple[str, ...], peak: int) -> Example:
        return Example(tokens, (0.0,) * len(tokens), peak, 1.0, context=0, group=0, spelling=BYTE_LEVEL)

    assert reading.hides(example(("Ġthe", "Ġrun", "ning", "Ġdog"), 2), 1.0) == "fragment"
    assert reading.hides(example(("Ġthe", "Ġrun", "ning", "Ġdog"), 1), 1.0) == "fragment"
    assert reading.hides(example(("Ġthe", "Ġrun", "ning", "Ġdog"), 3), 1.0) == ""


def test_the_list_leaves_rare_features_out_at_first_and_says_so(client_in, sae):
    url = reverse("features:list", args=[sae.pk])
    assert "leaves out" not in client_in.get(url).text
    view_set(sae, min_density=0.003)
    answer = client_in.get(url, {"sort": "density"}, follow=True)
    assert answer.redirect_chain == [(f"{url}?sort=density&min_density=0.003", 302)]
    assert "leaves out" in answer.text and 'title="3">3</data> features below' in answer.text
    assert listed(answer.text) == ["5", "4", "3"]
    everything = client_in.get(url, {"sort": "density", "min_density": ""})
    assert listed(everything.text) == ["5", "4", "3", "2", "1", "0"] and "leaves out" not in everything.text


def test_all_that_match_is_what_the_list_shows(client_in, sae):
    """Changing many features acts on the list's address, so rare ones that are out of sight stay as they are."""
    view_set(sae, min_density=0.003)
    page = client_in.get(reverse("features:list", args=[sae.pk]), follow=True).text
    action = re.search(r'id="bulk" action="([^"]+)"', page)[1].replace("&amp;", "&")
    client_in.post(action, {"action": "star", "everything": "1"})
    assert list(sae.features.filter(is_starred=True).values_list("index", flat=True)) == [3, 4, 5]


def listed(page: str) -> list[str]:
    """The feature numbers of the list's rows, in order."""
    return re.findall(r'<th scope="row"><a href="/features/sae/\d+/(\d+)/"', page)
