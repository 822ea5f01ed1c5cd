"""Tokenizations on disk: what was written comes back, and damaged files are refused with words."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from workers.engine.datasets.contexts import Contexts, contexts_write
from workers.engine.specs.errors import BadArtifact

TOKENS = np.arange(21, dtype=np.int32).reshape(3, 7)
ROWS = np.array([0, 4, 2**40], dtype=np.int64)


def test_written_contexts_come_back_mapped(tmp_path):
    contexts_write(tmp_path, "train", TOKENS, ROWS)
    contexts = Contexts.open(tmp_path, "train")
    assert (len(contexts), contexts.context_length) == (3, 7)
    assert isinstance(contexts.tokens, np.memmap)
    np.testing.assert_array_equal(contexts.tokens, TOKENS)
    np.testing.assert_array_equal(contexts.first_row, ROWS)


def test_the_safetensors_library_reads_what_we_write(tmp_path):
    tensors = load_file(contexts_write(tmp_path, "heldout", TOKENS, ROWS))
    np.testing.assert_array_equal(tensors["tokens"], TOKENS)
    np.testing.assert_array_equal(tensors["first_row"], ROWS)


def test_a_file_by_the_safetensors_library_is_read(tmp_path):
    save_file({"tokens": TOKENS, "first_row": ROWS}, tmp_path / "train.safetensors")
    np.testing.assert_array_equal(Contexts.open(tmp_path, "train").tokens, TOKENS)


def test_a_part_without_contexts_is_empty_and_not_an_error(tmp_path):
    contexts_write(tmp_path, "heldout", TOKENS[:0], ROWS[:0])
    contexts = Contexts.open(tmp_path, "heldout")
    assert (len(contexts), contexts.context_length) == (0, 7)


@pytest.mark.parametrize("kept_bytes", [0, 5, 40, -1, -30])
def test_a_truncated_file_is_refused(tmp_path, kept_bytes):
    path = contexts_write(tmp_path, "train", TOKENS, ROWS)
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(BadArtifact):
        Contexts.open(tmp_path, "train")


def test_a_missing_file_and_a_foreign_one_are_refused(tmp_path):
    with pytest.raises(BadArtifact, match="no file"):
        Contexts.open(tmp_path, "train")
    save_file({"weights": TOKENS}, tmp_path / "train.safetensors")
    with pytest.raises(BadArtifact, match="no tokenization"):
        Contexts.open(tmp_path, "train")
    save_file({"tokens": TOKENS.astype(np.int64), "first_row": ROWS}, tmp_path / "train.safetensors")
    with pytest.raises(BadArtifact, match="unexpected form"):
        Contexts.open(tmp_path, "train")
