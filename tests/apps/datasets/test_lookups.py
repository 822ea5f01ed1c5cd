"""Looking a dataset up before its import: the question, the answer on the page, the form that follows from it."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from apps.core.live.rendering import fragment
from apps.datasets.lookups import splits_estimated, tokens_estimated
from apps.datasets.models import Dataset, DatasetLookup
from apps.datasets.services import dataset_lookup
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from workers.engine.specs.datasets import DatasetLookupResult, DatasetLookupSpec, SplitSize
from workers.engine.specs.hub_ids import BadRepository

pytestmark = pytest.mark.django_db
JSON = "application/json"
FOUND = DatasetLookupResult(
    repo_id="owner/stories",
    revision="5" * 40,
    licence="mit",
    gated=False,
    configs=("large", "small"),
    config="small",
    splits=(SplitSize(name="train", rows=1_000_000, bytes=250_000_000), SplitSize(name="test")),
    split="train",
    bytes=260_000_000,
    columns=("text", "title"),
    column_types=("string", "string"),
    text_column="text",
    is_conversation=False,
    first_rows=({"text": "Once <b>upon</b> a time", "title": "One"},),
    text_bytes_per_row=200.0,
)


def looked_up(found: DatasetLookupResult | None = FOUND, **job_values) -> DatasetLookup:
    """A look-up; answered with `found`, else under way or as `job_values` say."""
    lookup = dataset_lookup(spec=DatasetLookupSpec(repo_id="owner/stories"))
    Job.objects.filter(pk=lookup.job.pk).update(**job_values)
    if found is not None:
        lookup.report = found.to_json()
        subject_ready(lookup)
    return lookup


def test_a_look_up_is_a_row_and_a_job_about_the_bare_repository():
    lookup = dataset_lookup(spec=DatasetLookupSpec(repo_id="https://huggingface.co/datasets/owner/stories"))
    assert (lookup.repo_id, lookup.job.kind) == ("owner/stories", "dataset_lookup")
    assert lookup.job.spec["repo_id"] == "owner/stories"


def test_look_ups_older_than_a_day_go():
    old, young = looked_up(state="succeeded"), looked_up(state="succeeded")
    DatasetLookup.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=25))
    newest = looked_up()
    assert set(DatasetLookup.objects.values_list("pk", flat=True)) == {young.pk, newest.pk}


def test_what_is_no_repository_leaves_no_look_up():
    with pytest.raises(BadRepository):
        dataset_lookup(spec=DatasetLookupSpec(repo_id="a/b/c"))
    assert not DatasetLookup.objects.exists()


def test_tokens_are_a_quarter_of_the_text_bytes_and_take_four_bytes_each():
    train, test = splits_estimated(FOUND.to_json())
    assert (train.tokens, train.tokenized_bytes) == (50_000_000, 200_000_000)
    assert (test.rows, test.tokens, test.tokenized_bytes) == (None, None, None)
    assert tokens_estimated(10, 3.0) == 8


def test_the_button_asks_and_leads_to_the_page_that_shows_the_answer(client_in):
    answer = client_in.post(reverse("datasets:lookup"), {"repo_id": "owner/stories"})
    assert answer.url == DatasetLookup.objects.get().get_absolute_url()
    page = client_in.get(answer.url).text
    job = DatasetLookup.objects.get().job
    assert f'id="job-{job.pk}"' in page and "dataset-lookups%2F" in page
    assert 'name="repo_id" value="owner/stories"' in page


def test_a_refusal_of_the_question_is_shown_at_its_field(client_in):
    answer = client_in.post(reverse("datasets:lookup"), {"repo_id": "a/b/c"})
    assert answer.status_code == 422 and "no repository of the Hugging Face Hub" in answer.text
    assert client_in.get(reverse("datasets:lookup")).url == reverse("datasets:new")


def test_the_answer_shows_what_the_hub_said(client_in):
    page = client_in.get(looked_up().get_absolute_url()).text
    assert "mit" in page and "open" in page
    assert '<data class="number" value="50000000"' in page and '<data class="number" value="200000000"' in page
    assert "Once &lt;b&gt;upon&lt;/b&gt; a time" in page


def test_the_form_offers_configurations_splits_and_columns(client_in):
    form = client_in.get(looked_up().get_absolute_url()).context["form"]
    html = {name: str(form[name]) for name in ("config", "split", "text_column", "revision", "repo_id")}
    assert '<option value="large">' in html["config"] and '<option value="small" selected>' in html["config"]
    assert '<option value="train" selected>train (1M rows, 238 MiB)</option>' in html["split"]
    assert '<option value="test">test</option>' in html["split"]
    assert '<option value="title">title (string)</option>' in html["text_column"]
    assert "5" * 40 in html["revision"] and "owner/stories" in html["repo_id"]


def test_another_configuration_is_looked_up_without_the_old_ones_split(client_in):
    values = {
        "repo_id": "owner/stories",
        "config": "large",
        "split": "train",
        "again": "1",
        "row_cap": "50",
        "name": "x",
    }
    answer = client_in.post(reverse("datasets:lookup"), values, headers={"HX-Request": "true"})
    lookup = DatasetLookup.objects.get()
    assert (lookup.job.spec["config"], lookup.job.spec["split"]) == ("large", "")
    assert answer.headers["HX-Redirect"] == f"{lookup.get_absolute_url()}&name=x&row_cap=50"
    assert 'name="row_cap" value="50"' in client_in.get(answer.headers["HX-Redirect"]).text


def test_the_form_after_a_look_up_imports_what_was_chosen(client_in):
    values = {"source": "hub", "repo_id": "owner/stories", "config": "large", "split": "test", "row_cap": "10"}
    client_in.post(looked_up().get_absolute_url(), {**values, "text_column": "title"})
    spec = Dataset.objects.get().job.spec
    assert (spec["config"], spec["split"], spec["text_column"], spec["row_cap"]) == ("large", "test", "title", 10)
    assert spec["streaming"] is False, "an unticked box is a choice"


def test_a_gated_dataset_is_explained_with_a_way_to_the_settings(client_in):
    lookup = looked_up(None, state="failed", error_code="gated", error_message="It is gated.", error_hint="Ask.")
    page = client_in.get(lookup.get_absolute_url()).text
    assert "It is gated." in page and "datasets/owner/stories" in page
    assert page.count(reverse("core:settings")) > client_in.get(reverse("datasets:new")).text.count(
        reverse("core:settings")
    )


@pytest.mark.parametrize("found", [FOUND, None])
def test_the_live_fragment_is_the_card_of_the_page(client_in, found):
    lookup = looked_up(found)
    html = fragment(lookup.topic)
    assert f'id="lookup-{lookup.pk}"' in html and f'data-topic="{lookup.topic}"' in html
    assert f'id="lookup-{lookup.pk}"' in client_in.get(lookup.get_absolute_url()).text
    assert fragment("dataset-lookups/999999") is None


def test_a_look_up_that_is_gone_leaves_the_plain_page(client_in):
    assert client_in.get(reverse("datasets:new"), {"lookup": "999"}).status_code == 200


def test_the_api_asks_and_answers(client_in):
    answer = client_in.post("/api/v1/datasets/lookups", {"repo_id": "owner/stories"}, content_type=JSON)
    lookup = DatasetLookup.objects.get()
    assert (answer.status_code, answer.json()["url"]) == (202, f"/api/v1/datasets/lookups/{lookup.pk}")
    assert client_in.get(answer.json()["url"]).json()["found"] == {}
    done = client_in.get(f"/api/v1/datasets/lookups/{looked_up().pk}").json()
    assert done["found"]["licence"] == "mit" and done["splits"][0]["tokens"] == 50_000_000
    assert client_in.get("/api/v1/datasets/lookups").json()["total"] == 2
    assert client_in.get("/api/v1/datasets/lookups/999").status_code == 404


def test_the_command_asks():
    out = StringIO()
    call_command("dataset_lookup", "--repo-id", "owner/stories", "--json", stdout=out)
    assert json.loads(out.getvalue())["kind"] == "dataset_lookup"


def test_the_admin_shows_look_ups_and_changes_none(client_in):
    lookup = looked_up()
    assert "owner/stories" in client_in.get(reverse("admin:datasets_datasetlookup_changelist")).text
    page = reverse("admin:datasets_datasetlookup_change", args=[lookup.pk])
    assert client_in.get(page).status_code == 200 and client_in.post(page, {}).status_code == 403
