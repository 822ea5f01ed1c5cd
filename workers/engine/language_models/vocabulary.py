"""Write vocabulary.parquet: every token's raw string beside its id, and how the tokenizer spells text, so that pages and
archives need no tokenizer."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerBase

from workers.engine.language_models.loading import tokenizer_load
from workers.engine.language_models.spelling import spelling_of
from workers.engine.language_models.token_ids import first_token_of
from workers.engine.progress import Progress
from workers.engine.specs.language_models import (
    VocabularyRebuildInputs,
    VocabularyRebuildResult,
    VocabularyRebuildSpec,
)
from workers.engine.text.spelling import FIRST_TOKEN_KEY, SPELLING_KEY, VOCABULARY_NAME


def vocabulary_write(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> int:
    """Write columns token_id (int32) and token (string) for ids 0, 1, …, with spelling and first token in the schema's
    metadata; returns the number of rows.

    Strings are the tokenizer's own ("Ġthe", "▁the", "<s>"); an id without a token gets "". Rows of the embedding beyond
    the tokenizer's last id have no name and no row.
    """
    size = max(tokenizer.get_vocab().values()) + 1
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(list(range(size)))]
    table = pa.table({"token_id": pa.array(range(size), pa.int32()), "token": pa.array(tokens, pa.string())})
    table = table.replace_schema_metadata(
        {SPELLING_KEY: spelling_of(tokenizer).dump(), FIRST_TOKEN_KEY: first_token_of(tokenizer).dump()}
    )
    pq.write_table(table, Path(folder) / VOCABULARY_NAME)
    return size


def vocabulary_rebuild(
    spec: VocabularyRebuildSpec, inputs: VocabularyRebuildInputs, progress: Progress
) -> VocabularyRebuildResult:
    """Write the vocabulary of a model's tokenizer to `inputs.out_dir`. Raises BadArtifact."""
    progress.phase("Reading the tokenizer")
    return VocabularyRebuildResult(tokens=vocabulary_write(tokenizer_load(inputs.model_dir), inputs.out_dir))
