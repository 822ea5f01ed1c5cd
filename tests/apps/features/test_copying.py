"""What a feature's page offers to copy, and judging a feature before its label shows."""

import json
import re

import pytest
from django.urls import reverse

from apps.features.copying import copies_of
from apps.features.models import Feature
from apps.features.pages import View, evidence_of
from apps.features.reading import ReadingFilter
from apps.features.services import feature_label_set
from tests.apps.features.worlds import finished_run_make, sae_make

pytestmark = pytest.mark.django_db


@pytest.fixture
def feature(db) -> Feature:
    sae = sae_make()
    finished_run_make(sae)
    return feature_label_set(feature=sae.features.get(index=1), label="wet * weather", category="Nature > Rain")


def copies(feature, **options):
    evidence, _ = evidence_of(feature, View(), ReadingFilter.of(feature.run))
    return {copy.name: copy.text for copy in copies_of(feature, evidence, "http://here/1", **options)}


def page(client, feature, **query):
    found = client.get(reverse("features:detail", args=[feature.sae_id, feature.index]), query)
    assert found.status_code == 200
    return found.text


def test_the_markdown_card_has_words_numbers_and_examples_with_the_peak_in_bold(feature):
    text = copies(feature)["Markdown"]
    assert text.startswith("### [Feature 1: wet \\* weather](http://here/1)\n")
    assert "*Nature \\> Rain*" in text and "density 0.1 %" in text and "on 10,000 tokens" in text
    assert re.search(r"^- 1: .* <b>rain</b>", text, re.M)


def test_markup_in_tokens_does_not_become_markdown(feature):
    tagged = feature.sae.features.get(index=3)
    assert "<b>\\<b\\></b>" in copies(tagged)["Markdown"]


def test_the_python_loads_this_saes_folder_and_names_this_row(feature, settings):
    text = copies(feature)["Python"]
    compile(text, "snippet", "exec")
    assert f"/saes/{feature.sae_id}" in text and "W_dec[1]" in text


def test_the_json_is_the_features_row(feature):
    assert json.loads(copies(feature)["JSON"])["label"] == "wet * weather"


def test_the_command_shows_this_feature(feature, capsys):
    from django.core.management import call_command

    program, script, *arguments = copies(feature)["Command"].split()
    assert (program, script) == ("python", "manage.py")
    call_command(*arguments)
    assert "wet * weather" in capsys.readouterr().out


def test_a_page_that_hides_labels_tells_them_nowhere(client_in, feature):
    text = page(client_in, feature, labels="hidden")
    assert "wet * weather" not in text and "wet \\* weather" not in text and "Nature" not in text
    assert "What would you call it?" in text
    assert "wet * weather" in page(client_in, feature)


def test_a_guess_reveals_the_label_beside_it(client_in, feature):
    text = page(client_in, feature, labels="hidden", guess="rain & snow")
    assert "You called it <strong>rain &amp; snow</strong>" in text and "wet * weather" in text


def test_the_next_feature_hides_its_label_again(client_in, feature):
    text = page(client_in, feature, labels="hidden", guess="rain")
    following = re.search(r'rel="next" href="([^"]+)"', text)[1]
    assert "labels=hidden" in following and "guess" not in following
