"""Previews of tokens and tokenizations by a real child, with a real tokenizer, from service to page."""

import pyarrow as pa
import pytest

from apps.core.storage import data_path
from apps.datasets.services import row_mark
from apps.datasets.tokenization_account import tokenization_account
from apps.datasets.tokenization_services import token_preview_start, tokenization_create
from apps.datasets.tokenization_statistics import statistics_read
from apps.jobs.states import State
from tests.apps.prepared import make_dataset, make_language_model
from tests.engine.tiny_models import SENTENCES, VOCAB_SIZE, tiny_config, tiny_tokenizer
from workers.engine.specs.tokenization import TokenizeSpec, TokenPreviewSpec
from workers.supervisor.foreground import supervise_here

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fresh_data_dir")]


@pytest.fixture
def rows():
    """A dataset whose first row is empty, and the ids of it and of a language model with a tokenizer on disk."""
    dataset = make_dataset(pa.table({"text": ["", *[f"{n}. {SENTENCES[n % 6]}" for n in range(60)]]}))
    language_model = make_language_model()
    folder = data_path("models", language_model.pk)
    tiny_tokenizer().save_pretrained(folder)
    tiny_config("llama", VOCAB_SIZE).save_pretrained(folder)
    return dataset, {"dataset": dataset.pk, "language_model": language_model.pk}


def done(subject):
    supervise_here(subject.job)
    subject.refresh_from_db()
    assert subject.job.state == State.SUCCEEDED, subject.job.error_traceback
    return subject


def test_a_strict_filter_is_seen_on_the_row_that_the_curator_edited(rows):
    dataset, ids = rows
    row_mark(dataset=dataset, row=1, text="The moon, on the mat!")
    preview = done(token_preview_start(spec=TokenPreviewSpec(**ids, row_count=2, token_filter="strict")))
    empty, edited = preview.report["rows"]
    assert (empty["row"], empty["drop_reason"]) == (0, "empty")
    assert edited["text"] == "The moon, on the mat!"
    taken_out = [token for token, stays in zip(edited["tokens"], edited["is_kept"]) if not stays]
    assert {"!"} <= set("".join(taken_out)) and 0 < len(taken_out) < len(edited["tokens"])


def test_what_a_preview_keeps_is_what_a_tokenization_stores(rows):
    _, ids = rows
    preview = done(token_preview_start(spec=TokenPreviewSpec(**ids, row_count=100, token_filter="strict")))
    kept = sum(sum(row["is_kept"]) for row in preview.report["rows"] if not row["drop_reason"])
    assert kept > 0
    options = {"packing": "document", "prepend_bos": False, "context_length": 64, "heldout_pct": 50.0}
    tokenization = done(tokenization_create(spec=TokenizeSpec(**ids, token_filter="strict", **options)))
    account = tokenization_account(tokenization)
    assert account["adds_up"] and [group.reason for group in account["dropped"]] == ["empty"]
    assert int(statistics_read(tokenization).token_counts.sum()) == kept
