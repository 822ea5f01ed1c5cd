"""vocabulary.parquet: every token's raw string beside its id, so that pages and archives need no tokenizer."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerBase

VOCABULARY_NAME = "vocabulary.parquet"


def vocabulary_write(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> int:
    """Write columns token_id (int32) and token (string) for ids 0, 1, …; returns the number of rows.

    Strings are the tokenizer's own ("Ġthe", "▁the", "<s>"); an id without a token gets "". Rows of the embedding beyond
    the tokenizer's last id have no name and no row.
    """
    size = max(tokenizer.get_vocab().values()) + 1
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(list(range(size)))]
    table = pa.table({"token_id": pa.array(range(size), pa.int32()), "token": pa.array(tokens, pa.string())})
    pq.write_table(table, Path(folder) / VOCABULARY_NAME)
    return size
