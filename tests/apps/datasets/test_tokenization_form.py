"""The tokenize form and its drawing of contexts."""

import pytest
from django.urls import reverse

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.datasets.context_diagram import context_diagram
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_selectors import begins_with_first_token
from apps.datasets.tokenization_services import tokenization_create
from tests.apps.prepared import VOCABULARY, make_dataset, make_language_model, make_tokenization, vocabulary_write
from workers.engine.specs.tokenization import TokenizeSpec
from workers.engine.text.spelling import FirstToken


def drawn(**values):
    return context_diagram(vars(TokenizeSpec(dataset=1, language_model=1, **values)))


def test_packed_contexts_are_full_and_the_incomplete_one_is_dropped():
    rows = drawn().rows
    assert [row.is_dropped for row in rows] == [False, False, False, True]
    assert all(sum(segment.cells for segment in row.segments) == 24 for row in rows[:-1])
    assert [segment.kind for segment in rows[0].segments] == ["bos", "a", "eos", "b"]


def test_without_first_token_and_marks_there_are_only_documents():
    assert drawn(prepend_bos=False, separate_documents=False).kinds == {"a", "b", "c", "d", "dropped"}


def test_one_document_per_context_never_mixes_documents():
    rows = drawn(packing="document").rows
    assert [{segment.kind for segment in row.segments} for row in rows] == [
        {"bos", name} for name in ("a", "b", "b", "c", "d")
    ]
    assert len(drawn(packing="document", overflow="truncate").rows) == 4


def test_an_overlap_repeats_the_end_of_the_context_before():
    rows = drawn(stride=32, context_length=128).rows
    assert [segment.cells for segment in rows[1].segments if segment.repeated] == [6]
    assert not any(segment.repeated for segment in rows[0].segments)
    assert "repeats the last 32 tokens" in drawn(stride=32).words


@pytest.mark.parametrize("stride", [1, 64, 126])
def test_every_overlap_comes_to_an_end(stride):
    assert len(drawn(stride=stride).rows) <= 7


@pytest.mark.django_db
def test_the_form_has_drawing_and_preview_beside_it(client_in):
    make_language_model()
    dataset = make_dataset()
    url = reverse("datasets:tokenize", args=[dataset.pk])
    page = client_in.get(url).content.decode()
    assert "<svg viewBox" in page and reverse("datasets:preview-start", args=[dataset.pk]) in page
    assert "with an end-of-text token between two" in page
    assert "takes tokens out" not in page
    asked = client_in.get(url, {"token_filter": "strict", "packing": "document"}).content.decode()
    assert "takes tokens out" in asked and "Each document begins a context of its own" in asked


@pytest.mark.django_db
def test_a_refused_form_keeps_its_drawing(client_in):
    dataset, language_model = make_dataset(), make_language_model()
    values = {"dataset": dataset.pk, "language_model": language_model.pk, "packing": "document", "text_column": "none"}
    answer = client_in.post(reverse("datasets:tokenize", args=[dataset.pk]), values)
    assert answer.status_code == 422 and "has no column" in answer.content.decode()
    assert "Each document begins a context of its own" in answer.content.decode()


@pytest.mark.django_db
def test_a_dataset_is_tokenized_in_several_ways_at_once():
    dataset, language_model = make_dataset(), make_language_model()
    for stride in (0, 4):
        tokenization_create(spec=TokenizeSpec(dataset=dataset.pk, language_model=language_model.pk, stride=stride))
    assert Tokenization.objects.filter(dataset=dataset).count() == 2


@pytest.mark.django_db
def test_another_column_than_the_datasets_own_is_cut():
    dataset, language_model = make_dataset(), make_language_model()
    type(dataset).objects.update(text_column="")
    spec = {"dataset": dataset.pk, "language_model": language_model.pk}
    assert tokenization_create(spec=TokenizeSpec(**spec, text_column="text")).job.kind == "tokenize"
    with pytest.raises(AppError, match="no text column"):
        tokenization_create(spec=TokenizeSpec(**spec))


@pytest.mark.django_db
def test_the_form_names_the_first_token_and_whether_the_models_tokenizer_puts_it(client_in):
    dataset, language_model = make_dataset(), make_language_model()
    asked = {"language_model": language_model.pk}
    page = client_in.get(reverse("datasets:tokenize", args=[dataset.pk]), asked).text
    assert "Each context begins with &lt;s&gt; (id 0). The model&#x27;s own tokenizer puts none before a text." in page
    vocabulary_write(data_path("models", language_model.pk), VOCABULARY, first_token=FirstToken(1, True))
    page = client_in.get(reverse("datasets:tokenize", args=[dataset.pk]), asked | {"prepend_bos": ""}).text
    assert "own tokenizer puts it before a text" in page and "&lt;/s&gt;" in page
    vocabulary_write(data_path("models", language_model.pk), VOCABULARY, first_token=FirstToken(None, False))
    page = client_in.get(reverse("datasets:tokenize", args=[dataset.pk]), asked).text
    assert "neither a first (BOS) nor a last (EOS) token" in page


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("report", "begins"),
    [
        ({"first_token_id": 0}, True),
        ({"first_token_id": None, "bos_tokens": 0}, False),
        ({"bos_tokens": 5}, True),
        ({"bos_tokens": 0}, False),
    ],
)
def test_a_report_tells_whether_contexts_begin_with_the_first_token(report, begins):
    """Reports of older versions count first tokens instead."""
    tokenization = make_tokenization()
    tokenization.report = report
    assert begins_with_first_token(tokenization) is begins
    assert begins_with_first_token(None) is True
