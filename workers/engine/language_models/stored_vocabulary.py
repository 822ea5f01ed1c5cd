"""Read vocabulary.parquet without any tokenizer library."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workers.engine.specs.errors import BadArtifact
from workers.engine.text.spelling import Spelling


@dataclass(frozen=True)
class StoredVocabulary:
    """Raw strings by token id, and how they are spelled."""

    tokens: dict[int, str]
    spelling: Spelling


def vocabulary_read(path: str | Path) -> StoredVocabulary:
    """A stored vocabulary. Raises BadArtifact when it is missing, damaged, or of another version of the studio."""
    try:
        table = pq.read_table(path, columns=["token_id", "token"])
    except (OSError, pa.ArrowInvalid) as error:
        raise BadArtifact(f"The vocabulary cannot be read: {error}", "Import the language model again.") from error
    spelling = Spelling.load(table.schema.metadata)
    if spelling is None:
        raise BadArtifact(
            "The vocabulary was stored by another version of the studio.",
            "Restart the studio and wait for its job “Rebuild vocabulary”.",
        )
    return StoredVocabulary(dict(zip(table["token_id"].to_pylist(), table["token"].to_pylist())), spelling)
