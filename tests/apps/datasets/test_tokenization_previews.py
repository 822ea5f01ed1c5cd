"""Previews of tokens: what is started and cancelled, what their pages and endpoints show."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.live.rendering import fragment
from apps.core.storage import data_path
from apps.datasets.management.commands.token_preview import row_words
from apps.datasets.models import TokenPreview
from apps.datasets.tokenization_services import token_preview_start
from apps.jobs.states import State
from tests.apps.prepared import BYTE_LEVEL, make_dataset, make_language_model, make_preview
from workers.engine.specs.tokenization import TokenPreviewSpec

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked():
    """The form of a dataset's page as a browser sends it."""
    dataset, language_model = make_dataset(), make_language_model()
    return reverse("datasets:preview-start", args=[dataset.pk]), {"language_model": language_model.pk, "follows": "1"}


def htmx(client, url, values):
    return client.post(url, values, headers={"HX-Request": "true"})


def test_only_the_newest_preview_of_a_user_waits():
    dataset, language_model = make_dataset(), make_language_model()
    spec = TokenPreviewSpec(dataset=dataset.pk, language_model=language_model.pk)
    first, second = token_preview_start(spec=spec), token_preview_start(spec=spec)
    assert (first.job.state, second.job.state) == (State.CANCELLED, State.QUEUED)
    other = token_preview_start(spec=TokenPreviewSpec(dataset=make_dataset().pk, language_model=language_model.pk))
    assert (second.job.state, other.job.state) == (State.QUEUED, State.QUEUED)


def test_a_preview_that_the_worker_has_in_hand_is_left_to_end():
    dataset, language_model = make_dataset(), make_language_model()
    spec = TokenPreviewSpec(dataset=dataset.pk, language_model=language_model.pk)
    first = token_preview_start(spec=spec)
    first.jobs.update(state=State.RUNNING)
    token_preview_start(spec=spec)
    assert first.job.state == State.RUNNING


def test_previews_are_gone_after_a_day():
    old = make_preview()
    TokenPreview.objects.update(created_at=timezone.now() - timedelta(days=2))
    new = token_preview_start(spec=TokenPreviewSpec(dataset=old.dataset_id, language_model=old.language_model_id))
    assert list(TokenPreview.objects.all()) == [new]


def test_a_column_that_the_dataset_lacks_is_refused():
    spec = TokenPreviewSpec(dataset=make_dataset().pk, language_model=make_language_model().pk, text_column="titel")
    with pytest.raises(AppError, match="no column 'titel'") as refused:
        token_preview_start(spec=spec)
    assert refused.value.field == "text_column" and "id, text" in refused.value.hint


def test_the_panel_listens_to_the_preview_and_brings_drawing_and_warning(client_in, asked):
    url, values = asked
    page = htmx(client_in, url, {**values, "token_filter": "strict"}).content.decode()
    preview = TokenPreview.objects.get()
    assert f'data-live-topics="{preview.topic}"' in page and f'id="token-preview-{preview.pk}"' in page
    assert 'id="context-diagram" hx-swap-oob="true"' in page
    assert "takes tokens out of the text" in page
    assert "takes tokens out of the text" not in htmx(client_in, url, values).content.decode()


def test_a_rows_page_gets_the_panel_alone(client_in, asked):
    url, values = asked
    page = htmx(client_in, url, {"language_model": values["language_model"], "first_row": "2"}).content.decode()
    assert "hx-swap-oob" not in page
    assert TokenPreview.objects.get().job.loaded_spec.first_row == 2


def test_without_scripts_the_button_leads_to_the_form_with_its_values(client_in, asked):
    url, values = asked
    answer = client_in.post(url, {**values, "stride": "4", "token_filter": "strict"})
    preview = TokenPreview.objects.get()
    assert answer.url == preview.get_absolute_url()
    page = client_in.get(answer.url).content.decode()
    assert '<option value="strict" selected>' in page and 'name="stride" value="4"' in page
    assert "takes tokens out of the text" in page and f'id="token-preview-{preview.pk}"' in page


def test_a_value_that_cannot_be_used_is_said_in_the_panel(client_in, asked):
    url, values = asked
    page = htmx(client_in, url, {**values, "stride": "127"}).content.decode()
    assert "leaves no new token" in page and "<svg" in page
    assert client_in.post(url, {**values, "stride": "127"}).status_code == 422
    assert not TokenPreview.objects.exists()


@pytest.mark.parametrize(
    ("go", "first", "row"), [("next", "0", 1), ("next", "2", 2), ("previous", "2", 1), ("previous", "0", 0)]
)
def test_steps_stay_within_the_rows(client_in, asked, go, first, row):
    url, values = asked
    page = htmx(client_in, url, {**values, "go": go, "first_row": first, "text": "mine"}).content.decode()
    spec = TokenPreview.objects.get().job.loaded_spec
    assert (spec.first_row, spec.text) == (row, "")
    assert f'name="first_row" value="{row}"' in page


def test_a_random_row_is_one_of_the_dataset(client_in, asked):
    url, values = asked
    for _ in range(8):
        htmx(client_in, url, {**values, "go": "random"})
    assert {preview.job.loaded_spec.first_row for preview in TokenPreview.objects.all()} <= {0, 1, 2}


def test_a_finished_preview_strikes_through_what_the_filter_takes_out(fresh_data_dir):
    preview = make_preview()
    config = data_path("models", preview.language_model_id) / "tokenizer_config.json"
    config.write_text('{"added_tokens_decoder": {"0": {"content": "<s>", "special": true}}}')
    shown = fragment(preview.topic)
    assert "5 tokens, 1 special, 4 kept, 1 filtered" in shown
    assert shown.count('<del class="token"') == 1 and "↵" in shown and "(taken out)" in shown
    assert "dropped: fewer tokens than the minimum" in shown
    assert 'hx-swap-oob="true"' in shown


def test_while_a_preview_is_cut_the_one_before_stays_in_sight(owner):
    before = make_preview(user=owner)
    spec = TokenPreviewSpec(dataset=before.dataset_id, language_model=before.language_model_id)
    shown = fragment(token_preview_start(spec=spec, user=owner).topic)
    assert "Cutting" in shown and "is-stale" in shown and "cat" in shown
    for changes in ({"first_row": 1}, {"row_count": 2}, {"text": "mine"}, {"language_model": make_language_model().pk}):
        other = fragment(token_preview_start(spec=replace(spec, **changes), user=owner).topic)
        assert "Cutting" in other and "cat" not in other, changes


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_preview_that_came_to_nothing_says_so(state):
    preview = make_preview(is_ready=False)
    preview.jobs.update(state=state, error_message="The tokenizer is broken.", error_code="bad_artifact")
    assert {"failed": "The tokenizer is broken.", "cancelled": "was cancelled"}[state] in fragment(preview.topic)


def test_hostile_tokens_are_escaped():
    preview = make_preview()
    preview.report["rows"][0]["tokens"][1] = preview.report["rows"][0]["text"] = "<script>alert(1)</script>"
    preview.save()
    assert "<script>" not in fragment(preview.topic)


def test_json_starts_a_preview_and_shows_it(client_in, asked):
    url, values = asked
    dataset = int(url.split("/")[2])
    body = {"language_model": values["language_model"], "text": "The cat", "token_filter": "strict"}
    answer = client_in.post(f"/api/v1/datasets/{dataset}/preview", body, content_type="application/json")
    assert answer.status_code == 202
    shown = client_in.get(answer.json()["url"]).json()
    assert (shown["ready"], shown["rows"], shown["job"]["state"]) == (False, [], "queued")
    ready = client_in.get(f"/api/v1/previews/{make_preview().pk}").json()
    assert ready["rows"][0]["is_kept"][-1] is False and ready["scheme"] == "byte_level"
    assert client_in.get("/api/v1/previews/999").status_code == 404


def test_the_command_starts_a_preview_and_marks_what_is_taken_out():
    out = StringIO()
    ids = ["--dataset", str(make_dataset().pk), "--language-model", str(make_language_model().pk)]
    call_command("token_preview", *ids, "--first-row", "2", stdout=out)
    assert TokenPreview.objects.get().job.loaded_spec.first_row == 2 and "queued" in out.getvalue()
    cat, short = make_preview().report["rows"]
    assert row_words(cat, BYTE_LEVEL).splitlines()[0] == "Row 0: 5 tokens, 4 kept, 1 filtered"
    assert row_words(cat, BYTE_LEVEL).endswith("<s>|The|·cat|·sat|[-↵-]")
    assert "dropped: fewer tokens than the minimum" in row_words(short, BYTE_LEVEL)
