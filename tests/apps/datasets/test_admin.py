"""The admin of datasets goes through the services."""

import pytest
from django.urls import reverse

from apps.datasets.models import Dataset, RowMark
from apps.datasets.services import row_mark
from tests.apps.prepared import job_about, make_cache, make_dataset, make_language_model, make_tokenization

pytestmark = pytest.mark.django_db
PAGES = ("datasets_dataset", "datasets_rowmark", "datasets_tokenization", "language_models_languagemodel")


def act(client, page: str, action: str, *rows):
    values = {"action": action, "_selected_action": [row.pk for row in rows]}
    return client.post(reverse(f"admin:{page}_changelist"), values, follow=True)


@pytest.mark.parametrize("page", [*PAGES, "activations_activationcache"])
def test_each_list_opens(client_in, page):
    row_mark(dataset=make_cache().tokenization.dataset, row=0, tags="odd")
    assert client_in.get(reverse(f"admin:{page}_changelist")).status_code == 200


def test_deleting_frees_files_and_says_what_is_still_used(client_in):
    used, free = make_tokenization().dataset, make_dataset()
    page = act(client_in, "datasets_dataset", "delete_rows", used, free).content.decode()
    assert "still used by" in page and "freed" in page
    assert list(Dataset.objects.all()) == [used]


def test_rows_are_excluded_and_included(client_in):
    mark = row_mark(dataset=make_dataset(), row=1, tags="odd")
    act(client_in, "datasets_rowmark", "leave_out", mark)
    assert RowMark.objects.get().excluded
    act(client_in, "datasets_rowmark", "take_in", mark)
    assert not RowMark.objects.get().excluded


def test_a_dataset_is_renamed_and_a_row_marked_on_its_page(client_in):
    dataset = make_dataset()
    prefix = "marks"
    values = {
        "name": "whales",
        f"{prefix}-TOTAL_FORMS": "1",
        f"{prefix}-INITIAL_FORMS": "0",
        f"{prefix}-0-dataset": str(dataset.pk),
        f"{prefix}-0-row": "2",
        f"{prefix}-0-text": "It was light.",
    }
    answer = client_in.post(reverse("admin:datasets_dataset_change", args=[dataset.pk]), values)
    assert answer.status_code == 302
    assert Dataset.objects.get().name == "whales" and RowMark.objects.get().text == "It was light."


def test_a_language_model_is_renamed(client_in):
    language_model = make_language_model()
    url = reverse("admin:language_models_languagemodel_change", args=[language_model.pk])
    client_in.post(url, {"name": "small"})
    language_model.refresh_from_db()
    assert (language_model.name, language_model.layers) == ("small", 2)


def test_failed_imports_are_tried_again_and_ready_ones_are_said(client_in):
    failed, ready = make_dataset(is_ready=False, name="failed"), make_dataset(name="done")
    job_about(failed, state="failed")
    page = act(client_in, "datasets_dataset", "import_again", failed, ready).text
    assert f"Failed is imported by job {failed.job.pk}" in page and "done is ready already" in page
    assert failed.job.state == "queued"
