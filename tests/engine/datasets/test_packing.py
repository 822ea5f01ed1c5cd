"""Packing: every token is accounted for, and the contexts spell the documents in their order."""

import tempfile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.engine.datasets.contexts import Contexts
from workers.engine.datasets.packing import ContextPacker

FIRST, SEPARATOR = 900, 901
DOCUMENT = st.lists(st.integers(0, 50), min_size=1, max_size=40)


def _packed(folder, batches, context_length):
    packer = ContextPacker(folder, "train", context_length, FIRST, SEPARATOR)
    row = 0
    for batch in batches:
        packer.add(batch, range(row, row + len(batch)))
        row += len(batch)
    packer.close()
    return packer, Contexts.open(folder, "train")


@given(batches=st.lists(st.lists(DOCUMENT, max_size=6), max_size=5), context_length=st.integers(2, 20))
def test_every_token_is_stored_or_dropped_and_none_is_invented(batches, context_length):
    with tempfile.TemporaryDirectory() as folder:
        packer, contexts = _packed(folder, batches, context_length)
        documents = [document for batch in batches for document in batch]
        stream, rows = [], []
        for row, document in enumerate(documents):
            joined = document if row == 0 else [SEPARATOR, *document]
            stream += joined
            rows += [row] * len(joined)
        count = len(stream) // (context_length - 1)
        used = count * (context_length - 1)
        assert packer.document_tokens + packer.separators + packer.first_tokens == contexts.tokens.size + packer.dropped
        assert packer.document_tokens == sum(map(len, documents))
        assert packer.separators == max(len(documents) - 1, 0)
        assert contexts.tokens.shape == (count, context_length)
        assert (contexts.tokens[:, 0] == FIRST).all()
        assert contexts.tokens[:, 1:].ravel().tolist() == stream[:used]
        assert contexts.first_row.tolist() == rows[: used : context_length - 1]


def test_the_temporary_file_is_gone_and_finished_contexts_are_returned(tmp_path):
    packer = ContextPacker(tmp_path, "train", 4, FIRST, SEPARATOR)
    np.testing.assert_array_equal(packer.add([[1, 2, 3, 4]], [7]), [[FIRST, 1, 2, 3]])
    packer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["train.safetensors"]
    assert Contexts.open(tmp_path, "train").first_row.tolist() == [7]
