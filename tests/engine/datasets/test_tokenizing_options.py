"""Every option of a tokenization changes its outcome, and whatever is chosen every row and token is accounted for."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from tests.engine.tiny_models import tiny_tokenizer
from workers.engine.datasets.contexts import Contexts
from workers.engine.datasets.previewing import token_preview
from workers.engine.datasets.row_parts import RowParts
from workers.engine.datasets.tokenizing import tokenize
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError, SpecInvalid
from workers.engine.specs.tokenization import (
    CLEANINGS,
    DROP_REASONS,
    TOKEN_FILTERS,
    TokenizeInputs,
    TokenizeSpec,
    TokenPreviewInputs,
    TokenPreviewSpec,
)

BOS, EOS = 0, 1
TEMPLATE = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}"
TALKS = [
    [{"role": "user", "content": f"Is row {n} here?"}, {"role": "assistant", "content": "It is."}] for n in range(20)
]
TEXTS = [
    *[f"<b>The cat</b> sat on the mat!!!!!! Number {n}, see https://cats.example or mail c@example.org" for n in range(40)],
    "tiny", " of and of and of and", "?!? ... !!! --- ???", "", "same words again and again", "same words again and again",
]  # fmt: skip


class Bench:
    """A dataset on disk, tokenized with any wishes."""

    def __init__(self, folder):
        self.folder, self.runs = folder, 0
        self.plain = self._model("plain", None)
        self.chat = self._model("chat", TEMPLATE)
        self.text = self._rows(
            "text", pa.table({"text": TEXTS, "other": [f"another column {n} " * 3 for n in range(len(TEXTS))]})
        )
        self.talks = self._rows("talks", pa.table({"messages": TALKS}))

    def _model(self, name, template):
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = template
        tokenizer.save_pretrained(self.folder / name)
        (self.folder / name / "config.json").write_text("{}")
        return self.folder / name

    def _rows(self, name, table):
        parts = RowParts(self.folder / name / "rows")
        parts.write(table)
        parts.close()
        return self.folder / name

    def inputs(self, dataset=None, model=None, column="text", out=""):
        return {
            "job_dir": "", "out_dir": str(out), "dataset_dir": str(dataset or self.text),
            "model_dir": str(model or self.plain), "text_column": column,
        }  # fmt: skip

    def run(self, dataset=None, model=None, column="text", **wishes):
        self.runs += 1
        out = self.folder / f"out-{self.runs}"
        out.mkdir()
        spec = TokenizeSpec(dataset=1, language_model=1, **{"context_length": 16, "heldout_pct": 20.0} | wishes)
        result = tokenize(spec, TokenizeInputs(**self.inputs(dataset, model, column, out)), Progress())
        return result, Stored(out)

    def preview(self, dataset=None, model=None, column="text", **wishes):
        spec = TokenPreviewSpec(dataset=1, language_model=1, **wishes)
        return token_preview(spec, TokenPreviewInputs(**self.inputs(dataset, model, column)), Progress())


class Stored:
    """What a tokenization left on disk."""

    def __init__(self, folder):
        self.parts = [Contexts.open(folder, part) for part in ("train", "heldout")]
        self.statistics = load_file(folder / "statistics.safetensors")
        self.dropped = pq.read_table(folder / "dropped.parquet").to_pylist()

    @property
    def ids(self):
        return [row[:length].tolist() for part in self.parts for row, length in zip(part.tokens, part.lengths)]

    @property
    def spelled(self):
        return tiny_tokenizer().decode([token for row in self.ids for token in row])


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("bench"))


def _adds_up(result):
    made = result.document_tokens + result.join_tokens + result.bos_tokens + result.repeated_tokens
    gone = result.filtered_tokens + result.truncated_tokens + result.dropped_tokens + result.dropped_document_tokens
    return made == result.tokens + result.heldout_tokens + gone


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_chosen_every_row_and_every_token_is_accounted_for(bench, data):
    length = data.draw(st.integers(8, 24))
    wishes = {
        "context_length": length,
        "packing": data.draw(st.sampled_from(["packed", "document"])),
        "overflow": data.draw(st.sampled_from(["chunk", "truncate"])),
        "stride": data.draw(st.integers(0, length - 2)),
        "prepend_bos": data.draw(st.booleans()),
        "separate_documents": data.draw(st.booleans()),
        "cleaning": data.draw(st.sampled_from([key for key, _ in CLEANINGS])),
        "min_tokens": data.draw(st.integers(1, 9)),
        "token_filter": data.draw(st.sampled_from([key for key, _ in TOKEN_FILTERS])),
        "remove_punctuation": data.draw(st.booleans()),
        "remove_stop_words": data.draw(st.booleans()),
        "custom_characters": data.draw(st.sampled_from(["", "ax", "."])),
        "junk_threshold": data.draw(st.sampled_from([1.0, 0.5])),
    }
    try:
        result, stored = bench.run(**wishes)
    except EngineError as error:  # so much was dropped that no context was filled
        assert error.code == "too_little_text"
        return
    assert _adds_up(result)
    assert sum(map(len, stored.ids)) == result.tokens + result.heldout_tokens
    assert result.documents + result.heldout_documents + sum(result.dropped_rows.values()) == len(TEXTS)
    assert len(stored.dropped) == sum(result.dropped_rows.values())
    assert stored.statistics["length_counts"].sum() == result.documents + result.heldout_documents
    kept = (stored.statistics["length_counts"] * np.arange(len(stored.statistics["length_counts"]))).sum()
    assert stored.statistics["token_counts"].sum() == kept
    assert kept == result.document_tokens - result.filtered_tokens - result.dropped_document_tokens


CHANGES = {
    "context_length": {"context_length": 24},
    "packing": {"packing": "document"},
    "overflow": {"packing": "document", "overflow": "truncate"},
    "stride": {"stride": 4},
    "prepend_bos": {"prepend_bos": False},
    "separate_documents": {"separate_documents": False},
    "text_column": {"text_column": "other"},
    "cleaning": {"cleaning": "standard"},
    "min_tokens": {"min_tokens": 9},
    "token_filter": {"token_filter": "standard"},
    "remove_punctuation": {"remove_punctuation": True},
    "remove_stop_words": {"remove_stop_words": True},
    "custom_characters": {"custom_characters": "q:"},
    "heldout_pct": {"heldout_pct": 45.0},
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_option_changes_what_is_stored(bench, name):
    basis = {"packing": "document"} if name == "overflow" else {}
    _, plain = bench.run(**basis)
    _, changed = bench.run(**CHANGES[name])
    assert plain.ids != changed.ids


@pytest.mark.parametrize(("weaker", "stronger"), list(itertools.pairwise(k for k, _ in CLEANINGS)))
def test_each_cleaning_level_does_more_than_the_one_before(bench, weaker, stronger):
    texts = "<b>Bold</b>\x07 &amp; https://a.example text!!!!!!!! mail a@b.example, wooooooow"
    shown = [bench.preview(text=texts, cleaning=level).rows[0] for level in (weaker, stronger)]
    assert len(shown[0].text) > len(shown[1].text)


@pytest.mark.parametrize(("weaker", "stronger"), list(itertools.pairwise(k for k, _ in TOKEN_FILTERS)))
def test_each_token_filter_takes_out_more_than_the_one_before(bench, weaker, stronger):
    text = "a\x07 \n\n ! ?! a b. 1) x' It's 3.14 (said) 'quoted'"
    kept = [sum(bench.preview(text=text, token_filter=mode).rows[0].is_kept) for mode in (weaker, stronger)]
    assert kept[0] >= kept[1]
    if stronger not in ("aggressive", "strict"):  # this tokenizer has no token of several marks
        assert kept[0] > kept[1]


def test_dropped_rows_are_listed_with_their_reasons(bench):
    wishes = {
        "cleaning": "minimal",
        "min_tokens": 6,
        "remove_stop_words": True,
        "token_filter": "standard",
        "junk_threshold": 0.9,
    }
    result, stored = bench.run(**wishes)
    reasons = {line["row"]: line["reason"] for line in stored.dropped}
    assert reasons[TEXTS.index("tiny")] == "cleaned"
    assert reasons[TEXTS.index(" of and of and of and")] in ("junk", "short")
    assert reasons[TEXTS.index("?!? ... !!! --- ???")] == "junk"
    assert reasons[TEXTS.index("")] == "empty"
    assert set(result.dropped_rows) == set(DROP_REASONS)


def test_the_junk_limit_drops_documents_that_are_mostly_taken_out(bench):
    loose, _ = bench.run(remove_stop_words=True, junk_threshold=1.0)
    strict, _ = bench.run(remove_stop_words=True, junk_threshold=0.1)
    assert strict.dropped_rows["junk"] > loose.dropped_rows["junk"] > 0


def test_copies_of_a_document_are_counted(bench):
    assert bench.run()[0].duplicate_documents == 1


def test_conversations_follow_the_chat_template_and_its_special_tokens(bench):
    alone = {"packing": "document", "context_length": 128}
    _, written = bench.run(bench.talks, bench.chat, "messages", **alone)
    assert "<s>user: Is row 3 here?</s><s>assistant: It is.</s>" in written.spelled
    assert sum(row.count(EOS) for row in written.ids) == 2 * len(TALKS)
    _, tagged = bench.run(bench.talks, bench.chat, "messages", chat_template=False, **alone)
    assert "<|user|>\nIs row 3 here?\n<|assistant|>\nIt is.\n" in tagged.spelled
    _, without_template = bench.run(bench.talks, bench.plain, "messages", **alone)
    assert without_template.ids == tagged.ids


def test_the_preview_shows_what_would_be_stored(bench):
    wishes = {"token_filter": "strict", "cleaning": "standard", "min_tokens": 2}
    rows = bench.preview(first_row=0, row_count=100, **wishes).rows
    assert [row.row for row in rows] == list(range(len(TEXTS)))
    _, stored = bench.run(packing="document", context_length=128, heldout_pct=0.5, **wishes)
    shown = [[i for i, keep in zip(row.token_ids, row.is_kept) if keep] for row in rows if not row.drop_reason]
    assert sorted(shown) == sorted(row[1:] for row in stored.ids)
    reasons = {line["row"]: line["reason"] for line in stored.dropped}
    assert {row.row: row.drop_reason for row in rows if row.drop_reason} == reasons
    assert tiny_tokenizer().convert_tokens_to_string(list(rows[0].tokens)) == rows[0].text


def test_the_preview_clips_long_rows_and_cuts_a_text_of_ones_own(bench):
    own = bench.preview(text="my own words </s>")
    assert own.rows[0].row == -1
    assert EOS not in own.rows[0].token_ids
    assert bench.preview(first_row=len(TEXTS) + 5).rows == ()
    with pytest.raises(SpecInvalid):
        bench.preview(text="x" * 10_001)


def test_an_overlap_that_leaves_nothing_new_is_refused():
    with pytest.raises(SpecInvalid, match="leaves no new token"):
        TokenizeSpec(dataset=1, language_model=1, context_length=16, stride=15)


def test_a_text_column_that_is_not_there_is_named(bench):
    with pytest.raises(EngineError, match="no column 'body'"):
        bench.run(text_column="body")
