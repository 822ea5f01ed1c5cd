"""Two tokenizations of one dataset are told apart by the words for their settings."""

from dataclasses import fields
from importlib import import_module

import pytest
from django.apps import apps

from apps.datasets.tokenization_selectors import usual_tokenizer
from apps.datasets.tokenization_services import tokenization_create
from apps.datasets.tokenization_settings import variant_words
from tests.apps.prepared import make_dataset, make_language_model, make_tokenization
from workers.engine.specs.tokenization import TokenizeSpec

CHANGES = {
    "packing": ("document", "one document per context"),
    "stride": (16, "overlap 16"),
    "prepend_bos": (False, "no first token"),
    "separate_documents": (False, "no end-of-text between documents"),
    "text_column": ("body", "column body"),
    "chat_template": (False, "no chat template"),
    "cleaning": ("standard", "standard cleaning"),
    "min_tokens": (2000, "documents from 2,000 tokens on"),
    "token_filter": ("strict", "strict filter"),
    "remove_punctuation": (True, "no punctuation"),
    "remove_stop_words": (True, "no stop words"),
    "custom_characters": ("#@", "without 2 chosen characters"),
    "junk_threshold": (0.5, "junk limit 0.5"),
    "heldout_pct": (10.0, "10 % held out"),
}
SAID_BY_NAME = {"dataset", "language_model", "context_length"}
ONLY_WITH_ANOTHER = {"overflow"}


@pytest.mark.parametrize("name", CHANGES)
def test_each_setting_that_is_not_the_default_has_its_words(name):
    value, words = CHANGES[name]
    assert variant_words(TokenizeSpec(dataset=1, language_model=1, **{name: value})) == words


def test_no_setting_is_forgotten():
    options = {field.name for field in fields(TokenizeSpec) if field.name in TokenizeSpec.options()}
    assert options == set(CHANGES) | SAID_BY_NAME | ONLY_WITH_ANOTHER
    assert variant_words(TokenizeSpec(dataset=1, language_model=1, context_length=64)) == ""
    both = TokenizeSpec(dataset=1, language_model=1, packing="document", overflow="truncate")
    assert variant_words(both) == "one document per context, longer ones cut off"


@pytest.mark.django_db
def test_names_pages_and_json_tell_two_tokenizations_apart(client_in):
    dataset, language_model = make_dataset(), make_language_model()
    plain = TokenizeSpec(dataset=dataset.pk, language_model=language_model.pk)
    usual = tokenization_create(spec=plain)
    other = tokenization_create(
        spec=TokenizeSpec(dataset=dataset.pk, language_model=language_model.pk, stride=16, token_filter="strict")
    )
    assert str(usual) == "stories × tiny, 128 tokens"
    assert str(other) == "stories × tiny, 128 tokens, overlap 16, strict filter"
    page = client_in.get(dataset.get_absolute_url()).text
    assert "overlap 16, strict filter" in page and "as usual" in page
    assert client_in.get(f"/api/v1/tokenizations/{other.pk}").json()["variant"] == "overlap 16, strict filter"


@pytest.mark.django_db
def test_what_was_cut_before_there_were_such_words_gets_them_from_its_job():
    dataset, language_model = make_dataset(), make_language_model()
    spec = TokenizeSpec(dataset=dataset.pk, language_model=language_model.pk, cleaning="standard")
    old, jobless = tokenization_create(spec=spec), make_tokenization()
    type(old).objects.update(variant="")
    import_module("apps.datasets.migrations.0003_tokenization_variant").variants_fill(apps, None)
    old.refresh_from_db()
    jobless.refresh_from_db()
    assert (old.variant, jobless.variant) == ("standard cleaning", "")


@pytest.mark.django_db
def test_the_tokenizer_that_was_used_last_is_chosen_first(client_in):
    dataset, first = make_dataset(), make_language_model(name="first")
    second = make_language_model(name="second")
    assert usual_tokenizer(dataset) is None
    for language_model in (second, first):
        tokenization_create(spec=TokenizeSpec(dataset=dataset.pk, language_model=language_model.pk))
    page = client_in.get(f"/datasets/{dataset.pk}/tokenize/").text
    assert f'<option value="{first.pk}" selected>first</option>' in page
    elsewhere = make_dataset(name="elsewhere")
    assert usual_tokenizer(elsewhere) == first.pk


@pytest.mark.django_db
def test_a_tokenization_names_its_first_token_and_its_settings(client_in):
    tokenization = make_tokenization()
    page = client_in.get(tokenization.get_absolute_url()).text
    assert "&lt;s&gt;" in page and "as usual: packed" in page
    lm = tokenization.language_model_id
    assert f"/training/new/?source=text&amp;tokenization={tokenization.pk}&amp;language_model={lm}" in page
