"""Packing: every token is accounted for, and the contexts spell the documents in their order."""

import tempfile
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.engine.datasets.contexts import Contexts
from workers.engine.datasets.packing import ContextPacker, Cutting

FIRST, SEPARATOR = 900, 901
DOCUMENT = st.lists(st.integers(0, 50), min_size=1, max_size=40)
BATCHES = st.lists(st.lists(DOCUMENT, max_size=6), max_size=5)


@st.composite
def cuttings(draw, is_packed):
    context_length = draw(st.integers(3, 20))
    return Cutting(
        context_length=context_length,
        first_id=draw(st.sampled_from([FIRST, None])),
        separator_id=draw(st.sampled_from([SEPARATOR, None])),
        fill_id=SEPARATOR,
        overlap=draw(st.integers(0, context_length - 2)),
        is_packed=is_packed,
        is_truncating=draw(st.booleans()),
    )


def _cut(folder, batches, cutting):
    packer = ContextPacker(folder, "train", cutting)
    row = 0
    for batch in batches:
        packer.add(batch, range(row, row + len(batch)))
        row += len(batch)
    packer.close()
    return packer, Contexts.open(folder, "train")


def _account(packer, contexts):
    """Tokens that came in or were put in, less those that went out: 0."""
    came = packer.document_tokens + packer.separators + packer.first_tokens + packer.repeated
    return came - int(contexts.lengths.sum()) - packer.dropped - packer.truncated


def _texts(contexts, cutting):
    """The tokens of each context without the first token."""
    start = int(cutting.first_id is not None)
    return [row[start:length].tolist() for row, length in zip(contexts.tokens, contexts.lengths)]


@given(batches=BATCHES, cutting=cuttings(is_packed=True))
def test_packed_contexts_spell_the_stream_and_every_token_is_stored_or_dropped(batches, cutting):
    with tempfile.TemporaryDirectory() as folder:
        packer, contexts = _cut(folder, batches, cutting)
        stream, rows = [], []
        for row, document in enumerate(document for batch in batches for document in batch):
            joined = document if row == 0 or cutting.separator_id is None else [SEPARATOR, *document]
            stream += joined
            rows += [row] * len(joined)
        starts = range(0, max(0, len(stream) - cutting.window + 1), cutting.step)
        assert _texts(contexts, cutting) == [stream[start : start + cutting.window] for start in starts]
        assert contexts.first_row.tolist() == [rows[start] for start in starts]
        assert (contexts.lengths == cutting.context_length).all()
        assert packer.tokens == contexts.lengths.sum()
        assert 0 <= packer.dropped < cutting.window
        assert packer.truncated == 0 and _account(packer, contexts) == 0


@given(batches=BATCHES, cutting=cuttings(is_packed=False))
def test_alone_each_document_is_spelled_by_its_own_contexts(batches, cutting):
    with tempfile.TemporaryDirectory() as folder:
        packer, contexts = _cut(folder, batches, cutting)
        texts = _texts(contexts, cutting)
        for row, document in enumerate(document for batch in batches for document in batch):
            mine = [text for text, first_row in zip(texts, contexts.first_row) if first_row == row]
            spelled = mine[0] + [token for text in mine[1:] for token in text[cutting.overlap :]]
            assert spelled == (document[: cutting.window] if cutting.is_truncating else document)
            assert all(len(text) == cutting.window for text in mine[:-1])
        assert packer.separators == packer.dropped == 0 and _account(packer, contexts) == 0
        assert packer.tokens == contexts.lengths.sum()


@given(batches=BATCHES, cutting=cuttings(is_packed=True))
def test_how_documents_are_batched_changes_nothing(batches, cutting):
    documents = [document for batch in batches for document in batch]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        _, first = _cut(one, batches, cutting)
        _, second = _cut(other, [documents], cutting)
        np.testing.assert_array_equal(first.tokens, second.tokens)
        np.testing.assert_array_equal(first.first_row, second.first_row)


def test_the_temporary_file_is_gone(tmp_path):
    packer = ContextPacker(tmp_path, "train", Cutting(4, FIRST, SEPARATOR))
    packer.add([[1, 2, 3, 4]], [7])
    packer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["train.safetensors"]
    contexts = Contexts.open(tmp_path, "train")
    np.testing.assert_array_equal(contexts.tokens, [[FIRST, 1, 2, 3]])
    assert contexts.first_row.tolist() == [7]


@given(
    batches=st.lists(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), max_size=6), max_size=5),
    cutting=st.one_of(cuttings(is_packed=True), cuttings(is_packed=False)),
)
def test_one_first_token_begins_each_context_and_no_separator_is_doubled(batches, cutting):
    """Id 0 begins contexts and parts documents, and documents hold it too, as where BOS and EOS are one."""
    first = None if cutting.first_id is None else 0
    cutting = replace(cutting, first_id=first, separator_id=None if cutting.separator_id is None else 0, fill_id=9)
    with tempfile.TemporaryDirectory() as folder:
        packer, contexts = _cut(folder, batches, cutting)
        rows = [row[:length].tolist() for row, length in zip(contexts.tokens, contexts.lengths)]
        assert _account(packer, contexts) == 0 and packer.tokens == sum(map(len, rows))
        assert first is None or all(row[0] == 0 for row in rows)
        assert packer.first_tokens <= len(rows) * (first is not None)
        if cutting.is_packed:
            assert all(len(row) == cutting.context_length for row in rows)
            stream = _joined([document for batch in batches for document in batch], cutting.separator_id)
            assert rows == list(_windows(stream, cutting))


def _joined(documents, separator):
    """The documents one behind the other, a separator between two of which neither brings it."""
    stream = []
    for document in documents:
        if stream and separator is not None and separator not in (stream[-1], document[0]):
            stream.append(separator)
        stream += document
    return stream


def _windows(stream, cutting):
    """Contexts of a stream, one token after the other: behind a first token, or from one that stands there."""
    while stream:
        needs_first = cutting.first_id is not None and stream[0] != cutting.first_id
        taken = cutting.context_length - needs_first
        if len(stream) < taken:
            return
        yield [cutting.first_id, *stream[:taken]] if needs_first else stream[:taken]
        stream = stream[taken - cutting.overlap :]
