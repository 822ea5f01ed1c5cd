"""The numbers of a tokenization: account, curves, frequent tokens, dropped rows; on pages, as JSON and by command."""

import json
from io import StringIO
from itertools import pairwise

import numpy as np
import pytest
from django.core.management import call_command
from django.urls import reverse
from safetensors.numpy import save_file

from apps.core.live.rendering import fragment
from apps.datasets.contexts import contexts_sample
from apps.datasets.tokenization_account import tokenization_account
from apps.datasets.tokenization_selectors import duplicate_share, tokenization_folder
from apps.datasets.tokenization_statistics import (
    Statistics,
    length_bins,
    length_chart,
    rank_curve,
    statistics_read,
    top_tokens,
)
from tests.apps.prepared import make_tokenization

pytestmark = pytest.mark.django_db


def zipf(words: int) -> Statistics:
    counts = np.round(1_000_000 / np.arange(1, words + 1)).astype(np.int64)
    return Statistics(np.random.default_rng(0).permutation(counts), np.zeros(1, np.int64))


def test_the_account_names_every_term_that_is_not_nothing():
    account = tokenization_account(make_tokenization())
    assert account["adds_up"]
    words = {line.words: (line.sign, line.tokens) for line in account["account"]}
    assert words["Tokens of the text"] == ("", 97) and words["stored in contexts"] == ("=", 104)
    assert words["of documents dropped as short or junk"] == ("+", 5)
    assert "taken out by the token filter" not in words
    assert [(group.reason, group.rows) for group in account["dropped"]] == [("excluded", 1), ("short", 1)]


def test_an_account_that_does_not_add_up_is_said(client_in):
    tokenization = make_tokenization(filtered_tokens=1)
    assert not tokenization_account(tokenization)["adds_up"]
    assert "do not add up" in client_in.get(tokenization.get_absolute_url()).content.decode()


def test_the_curve_of_zipfs_law_is_straight_on_log_paper():
    ranks, counts = rank_curve(zipf(5000))
    slope = np.polyfit(np.log(ranks[:150]), np.log(counts[:150]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.01)
    assert ranks[0] == 1 and ranks[-1] == 5000 and len(ranks) <= 200


def test_the_bins_hold_every_document_once():
    counts = np.random.default_rng(1).integers(0, 4, 1001)
    counts[0] = 0
    bins = length_bins(Statistics(np.zeros(1, np.int64), counts))
    assert sum(documents for _, _, documents in bins) == counts.sum()
    assert all(last + 1 == following for (_, last, _), (following, _, _) in pairwise(bins))
    assert len(bins) <= 40


def test_frequent_tokens_come_with_words_and_shares():
    tokenization = make_tokenization()
    tokens = top_tokens(tokenization, statistics_read(tokenization))
    assert (tokens[0].text, tokens[0].count, tokens[0].token_id) == ("The", 20, 2)
    assert len(tokens) == 6 and sum(token.share for token in tokens) == pytest.approx(1)
    assert {"·cat", "↵"} <= {token.text for token in tokens}


def test_the_chart_of_lengths_says_how_many_are_longer_than_a_context():
    tokenization = make_tokenization()
    summary = length_chart(tokenization, statistics_read(tokenization)).summary
    assert "median document has 3 tokens" in summary and "1 of 4 are longer than a context of 8" in summary


def test_the_page_shows_charts_and_frequent_tokens(client_in):
    page = client_in.get(make_tokenization().get_absolute_url()).content.decode()
    assert 'id="rank-frequency"' in page and 'id="document-lengths"' in page
    assert "Most frequent tokens" in page and "·cat" in page


def test_an_older_tokenization_says_that_it_has_no_statistics(client_in):
    tokenization = make_tokenization(has_statistics=False)
    page = client_in.get(tokenization.get_absolute_url())
    assert page.status_code == 200 and "before token statistics were kept" in page.content.decode()
    assert "was not kept yet" in client_in.get(reverse("datasets:dropped", args=[tokenization.pk])).content.decode()
    shown = client_in.get(f"/api/v1/tokenizations/{tokenization.pk}/statistics").json()
    assert shown["rank_curve"] is None and shown["report"]["documents"] == 3


def test_many_duplicates_are_warned_of(client_in):
    few, many = make_tokenization(duplicate_documents=0), make_tokenization(duplicate_documents=2)
    assert (duplicate_share(few), duplicate_share(many)) == (0, 0.5)
    assert "repeat the text of an earlier one" not in client_in.get(few.get_absolute_url()).content.decode()
    assert "repeat the text of an earlier one" in client_in.get(many.get_absolute_url()).content.decode()


def test_the_live_card_holds_what_the_page_holds(client_in):
    tokenization = make_tokenization()
    shown = fragment(tokenization.topic)
    assert "Duplicates" in shown and shown.split("<dl", 1)[1].strip() in client_in.get(
        tokenization.get_absolute_url()
    ).content.decode().replace(' hx-swap-oob="true"', "")


def test_dropped_rows_lead_to_their_rows(client_in):
    tokenization = make_tokenization()
    url = reverse("datasets:dropped", args=[tokenization.pk])
    page = client_in.get(url, {"reason": "short"}).content.decode()
    assert reverse("datasets:row", args=[tokenization.dataset_id, 2]) in page and "It was dark." in page
    assert reverse("datasets:row", args=[tokenization.dataset_id, 0]) not in page
    assert client_in.get(url).content.decode().count("<tr data-row>") == 2
    assert f"{url}?reason=short" in client_in.get(tokenization.get_absolute_url()).content.decode()


def test_dropped_rows_as_json(client_in):
    url = f"/api/v1/tokenizations/{make_tokenization().pk}/dropped"
    found = client_in.get(url, {"reason": "short"}).json()
    assert found["total"] == 1
    words = "fewer tokens than the minimum"
    assert found["items"] == [{"row": 2, "reason": "short", "words": words, "text": "It was dark."}]
    assert client_in.get(url, {"reason": "ugly"}).json()["error"]["code"] == "bad_reason"
    assert client_in.get(url, {"page": "0"}).status_code == 400
    assert client_in.get(url, {"page": "9"}).json()["items"] == []


def test_statistics_as_json_keep_the_dataset_and_name_the_tokenization(client_in):
    tokenization = make_tokenization()
    shown = client_in.get(f"/api/v1/tokenizations/{tokenization.pk}/statistics").json()
    assert shown["top_tokens"][0]["count"] == 20 and shown["rank_curve"]["rank"][0] == 1
    assert shown["duplicate_share"] == 0.25 and shown["train_tokens"] == 96
    listed = client_in.get(f"/api/v1/datasets/{tokenization.dataset_id}/statistics").json()
    assert listed["tokenizations"][0]["duplicate_share"] == 0.25
    assert client_in.get(listed["tokenizations"][0]["statistics_url"]).status_code == 200


def test_a_broken_file_is_said_in_words(client_in):
    tokenization = make_tokenization()
    (tokenization_folder(tokenization.pk) / "statistics.safetensors").write_bytes(b"no")
    answer = client_in.get(f"/api/v1/tokenizations/{tokenization.pk}/statistics")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "bad_artifact")


def test_ragged_contexts_show_only_tokens_that_are_meant():
    tokenization = make_tokenization(contexts=2)
    parts = {"tokens": np.tile(np.arange(8, dtype=np.int32), (2, 1)), "first_row": np.zeros(2, np.int64)}
    path = tokenization_folder(tokenization.pk) / "train.safetensors"
    save_file(parts | {"lengths": np.array([8, 3], np.int32)}, path)
    assert [len(sample.tokens) for sample in contexts_sample(tokenization)] == [8, 3]


def test_the_command_prints_the_account_and_frequent_tokens():
    tokenization, out = make_tokenization(), StringIO()
    call_command("tokenization_show", str(tokenization.pk), stdout=out)
    assert "97  Tokens of the text" in out.getvalue() and "1  rows dropped: excluded by the curator" in out.getvalue()
    assert "The" in out.getvalue() and "25.0% of the documents are duplicates" in out.getvalue()
    out = StringIO()
    call_command("tokenization_show", str(tokenization.pk), "--json", stdout=out)
    assert json.loads(out.getvalue())["document_lengths"][0]["documents"] == 1
