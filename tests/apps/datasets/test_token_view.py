"""Rows shown as tokens in place of text."""

import pyarrow as pa
import pytest
from django.urls import reverse

from apps.datasets.models import TokenPreview
from apps.datasets.token_view import TOKEN_ROWS
from tests.apps.prepared import make_dataset, make_language_model

pytestmark = pytest.mark.django_db


def hidden(page, name: str) -> str:
    return page.text.partition(f'type="hidden" name="{name}" value="')[2].partition('"')[0]


def test_a_row_offers_the_tokens_of_each_tokenizer(client_in):
    dataset, language_model = make_dataset(), make_language_model()
    make_language_model(name="without", tokenizer_sha256="")
    url = reverse("datasets:row", args=[dataset.pk, 2])
    plain = client_in.get(url)
    assert f'href="?tokens={language_model.pk}"' in plain.text and "Tokens of without" not in plain.text
    assert 'id="token-view"' not in plain.text
    shown = client_in.get(url, {"tokens": language_model.pk})
    assert (hidden(shown, "first_row"), hidden(shown, "row_count")) == ("2", "1")


def test_the_list_shows_a_page_of_rows_as_tokens(client_in):
    dataset, language_model = make_dataset(pa.table({"text": ["a b"] * 50})), make_language_model()
    shown = client_in.get(dataset.get_absolute_url(), {"tokens": language_model.pk, "page": 2})
    assert (hidden(shown, "first_row"), hidden(shown, "row_count")) == (str(TOKEN_ROWS), str(TOKEN_ROWS))
    assert "rows-table" not in shown.text


def test_whoever_changes_between_text_and_tokens_stays_at_the_same_row(client_in):
    dataset, language_model = make_dataset(pa.table({"text": ["a b"] * 250})), make_language_model()
    text = client_in.get(dataset.get_absolute_url(), {"page": 2}).text  # rows 100 to 199
    assert f'href="?tokens={language_model.pk}&amp;page=6#rows-title"' in text
    tokens = client_in.get(dataset.get_absolute_url(), {"tokens": language_model.pk, "page": 6})
    assert hidden(tokens, "first_row") == "100" and 'href="?page=2#rows-title"' in tokens.text
    first = client_in.get(dataset.get_absolute_url()).text
    assert f'href="?tokens={language_model.pk}#rows-title"' in first


def test_the_form_of_the_page_starts_a_preview_with_the_defaults(client_in):
    dataset, language_model = make_dataset(), make_language_model()
    shown = client_in.get(reverse("datasets:row", args=[dataset.pk, 1]), {"tokens": language_model.pk})
    values = shown.context["token_values"]
    answer = client_in.post(reverse("datasets:preview-start", args=[dataset.pk]), values)
    preview = TokenPreview.objects.get()
    assert answer.url == preview.get_absolute_url()
    spec = preview.job.loaded_spec
    assert spec == type(spec)(dataset=dataset.pk, language_model=language_model.pk, first_row=1, row_count=1)


def test_an_unknown_tokenizer_leaves_the_text(client_in):
    dataset = make_dataset()
    assert "rows-table" in client_in.get(dataset.get_absolute_url(), {"tokens": "999"}).text
