"""Pages of datasets, rows and tokenizations in every state."""

import pyarrow as pa
import pytest
from django.urls import reverse

from apps.core.live.rendering import fragment
from apps.datasets.models import Dataset, RowMark, Tokenization
from tests.apps.prepared import job_about, make_dataset, make_language_model, make_tokenization

pytestmark = pytest.mark.django_db
STATES = ("queued", "running", "paused", "failed", "cancelled")


def test_an_empty_list_says_what_to_do_next(client_in):
    page = client_in.get(reverse("datasets:list"))
    assert page.status_code == 200 and reverse("datasets:new") in page.content.decode()
    assert "No datasets yet" in page.content.decode()


def test_the_list_asks_the_database_equally_often_for_many_datasets(client_in, django_assert_max_num_queries):
    for number in range(30):
        job_about(make_dataset(is_ready=False, name=f"texts {number}"))
    with django_assert_max_num_queries(12):
        assert client_in.get(reverse("datasets:list")).content.count(b"data-row") == 30


def test_the_list_is_sorted_and_searched(client_in):
    make_dataset(name="whales")
    make_dataset(pa.table({"text": ["a"]}), name="cats")
    by_rows = client_in.get(reverse("datasets:list"), {"sort": "rows"}).content.decode()
    assert '<option value="rows" selected>' in by_rows
    assert by_rows.index("whales") < by_rows.index("cats")
    assert "whales" not in client_in.get(reverse("datasets:list"), {"q": "cats"}).content.decode()


@pytest.mark.parametrize("state", STATES)
def test_a_dataset_on_its_way_shows_its_job(client_in, state):
    dataset = make_dataset(is_ready=False)
    job = job_about(dataset, state=state, error_message="The disk is full.", error_code="disk_full")
    page = client_in.get(dataset.get_absolute_url()).content.decode()
    assert f'id="job-{job.pk}"' in page and state in page
    assert ("The disk is full." in page) == (state == "failed")
    assert f"topic={dataset.topic.replace('/', '%2F')}" in page


@pytest.mark.parametrize(("column", "warns"), [("page_url", True), ("text", False)])
def test_a_text_column_named_like_an_identifier_is_warned_of(client_in, column, warns):
    dataset = make_dataset(pa.table({column: ["https://example.org/1"]}))
    dataset.text_column = column
    dataset.save()
    assert ("named like an identifier" in client_in.get(dataset.get_absolute_url()).text) == warns


def test_hostile_text_is_escaped_on_the_rows_page(client_in):
    script = "<script>alert(1)</script>"
    dataset = make_dataset(pa.table({"text": [script], script: [script]}), name=script)
    page = client_in.get(dataset.get_absolute_url()).content.decode()
    assert script not in page and page.count("&lt;script&gt;alert(1)") >= 3


def test_rows_are_paged_by_a_hundred(client_in):
    dataset = make_dataset(pa.table({"text": [f"row number {n}." for n in range(250)]}))
    third = client_in.get(dataset.get_absolute_url(), {"page": 3}).content.decode()
    assert "row number 200." in third and "row number 249." in third and "row number 199." not in third
    assert client_in.get(dataset.get_absolute_url(), {"page": "x"}).status_code == 200


def test_a_search_shows_the_rows_that_hold_the_words(client_in):
    page = client_in.get(make_dataset().get_absolute_url(), {"q": "ishmael"}).content.decode()
    assert "Ishmael" in page and "The cat sat." not in page and "1 row found" in page


def test_a_row_is_excluded_and_included_by_its_button(client_in):
    dataset = make_dataset()
    url = reverse("datasets:row-exclude", args=[dataset.pk, 1])
    answer = client_in.post(url, {"excluded": "1"}, headers={"HX-Request": "true"})
    assert RowMark.objects.get(row=1).excluded
    assert 'id="row-1-mark"' in answer.content.decode() and "Include" in answer.content.decode()
    assert client_in.post(url, {"excluded": "0"}).status_code == 302
    assert not RowMark.objects.exists()


def test_the_page_of_a_row_saves_its_marks(client_in):
    dataset = make_dataset()
    url = reverse("datasets:row", args=[dataset.pk, 2])
    assert "It was dark." in client_in.get(url).content.decode()
    assert client_in.post(url, {"text": "It was light.", "tags": "edited"}).status_code == 302
    assert "It was light." in client_in.get(url).content.decode()
    assert client_in.get(reverse("datasets:row", args=[dataset.pk, 3])).status_code == 404


def test_a_post_imports_a_file_and_leads_to_the_dataset(client_in, tmp_path):
    (tmp_path / "texts.txt").write_text("Some text.")
    answer = client_in.post(reverse("datasets:new"), {"source": "file", "path": str(tmp_path / "texts.txt")})
    assert answer.status_code == 302 and answer.url == Dataset.objects.get().get_absolute_url()


def test_a_refusal_is_shown_at_its_field(client_in):
    answer = client_in.post(reverse("datasets:new"), {"source": "file", "path": "/nowhere/texts.txt"})
    assert answer.status_code == 422
    assert "There is no file or folder" in answer.context["form"].errors["path"][0]


def test_a_dataset_is_renamed(client_in):
    dataset = make_dataset()
    client_in.post(reverse("datasets:rename", args=[dataset.pk]), {"name": "whales"})
    assert Dataset.objects.get().name == "whales"


def test_deleting_asks_first_then_says_what_was_freed(client_in):
    dataset = make_dataset()
    url = reverse("datasets:delete", args=[dataset.pk])
    assert "cannot be undone" in client_in.get(url).content.decode()
    page = client_in.post(url, follow=True).content.decode()
    assert "was deleted" in page and not Dataset.objects.exists()


def test_deleting_what_is_used_names_what_stands_on_it(client_in):
    tokenization = make_tokenization()
    url = reverse("datasets:delete", args=[tokenization.dataset_id])
    page = client_in.get(url).text
    assert f'<li>Tokenization <a href="{tokenization.get_absolute_url()}">' in page
    assert f'<a href="{reverse("datasets:list")}">Datasets</a>' in page
    assert client_in.post(url).status_code == 409


def test_the_question_before_a_tokenization_goes_leads_back_to_its_dataset(client_in):
    tokenization = make_tokenization()
    page = client_in.get(reverse("datasets:tokenization-delete", args=[tokenization.pk])).text
    assert f'<a href="{tokenization.dataset.get_absolute_url()}">stories</a>' in page


def test_a_repository_that_cannot_be_is_refused_at_its_field(client_in):
    answer = client_in.post(reverse("datasets:new"), {"source": "hub", "repo_id": "a/b/c", "row_cap": "10"})
    assert answer.status_code == 422 and "no repository of the Hugging Face Hub" in answer.text
    assert list(answer.context["form"].errors) == ["repo_id"]


def test_the_form_of_a_tokenization_starts_it(client_in):
    dataset, language_model = make_dataset(), make_language_model()
    url = reverse("datasets:tokenize", args=[dataset.pk])
    assert client_in.get(url).status_code == 200
    values = {"dataset": dataset.pk, "language_model": language_model.pk, "context_length": 32}
    assert client_in.post(url, values).url == Tokenization.objects.get().get_absolute_url()


@pytest.mark.parametrize("state", STATES)
def test_a_tokenization_on_its_way_shows_its_job(client_in, state):
    tokenization = make_tokenization(is_ready=False)
    job = job_about(tokenization, state=state)
    assert f'id="job-{job.pk}"' in client_in.get(tokenization.get_absolute_url()).content.decode()


def test_a_tokenization_shows_its_account_and_its_contexts_as_tokens(client_in):
    tokenization = make_tokenization()
    page = client_in.get(tokenization.get_absolute_url()).content.decode()
    assert "do not add up" not in page and "75 %" in page
    assert "&lt;b&gt;" in page and "Ġ" not in page
    assert client_in.get(tokenization.get_absolute_url(), {"part": "heldout"}).content.count(b"Context 0") == 2


def test_numbers_that_do_not_add_up_are_pointed_out(client_in):
    tokenization = make_tokenization()
    tokenization.report["dropped_tokens"] += 1
    tokenization.save()
    assert "do not add up" in client_in.get(tokenization.get_absolute_url()).content.decode()


@pytest.mark.parametrize("is_ready", [True, False])
def test_the_live_fragment_is_the_card_of_the_page(client_in, is_ready):
    for row in (make_dataset(is_ready=is_ready), make_tokenization(is_ready=is_ready)):
        job_about(row, state="succeeded" if is_ready else "running")
        html = fragment(row.topic)
        card = html.split('id="')[1].split('"')[0]
        assert f'id="{card}"' in client_in.get(row.get_absolute_url()).content.decode()
        assert f'data-topic="{row.topic}"' in html
    assert fragment("datasets/999999") is None


def test_a_conversation_is_shown_turn_by_turn_and_escaped(client_in):
    dataset = make_dataset(pa.table({"text": [[{"role": "user", "content": "<b>Hi"}]]}))
    for url in (dataset.get_absolute_url(), reverse("datasets:row", args=[dataset.pk, 0])):
        page = client_in.get(url).text
        assert '<li data-role="user">' in page and "&lt;b&gt;Hi" in page


def test_a_tokenizations_page_shows_the_share_of_special_tokens(client_in):
    tokenization = make_tokenization(special_tokens=30, special_share=0.125)
    page = client_in.get(tokenization.get_absolute_url()).text
    assert "separators and other special tokens inside the contexts" in page and "12.5 %" in page
    older = make_tokenization()
    assert "inside the contexts" not in client_in.get(older.get_absolute_url()).text
