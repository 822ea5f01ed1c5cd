"""A language model's vocabulary as stored by its import: token strings and how they are spelled, without a tokenizer."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from apps.core.errors import AppError
from apps.language_models.selectors import language_model_folder
from workers.engine.text.spelling import VOCABULARY_NAME, FirstToken, Spelling
from workers.engine.text.tokens import token_texts

REBUILD_HINT = "Wait for the job “Rebuild vocabulary”, which the studio's start queues; or restart the studio."


class Vocabulary:
    """Raw token strings by id, and how the tokenizer spells text."""

    def __init__(self, path: Path) -> None:
        """Raises AppError "older_vocabulary" for a file of another version of the studio."""
        table = pq.read_table(path, columns=["token_id", "token"])
        spelling = Spelling.load(table.schema.metadata)
        if spelling is None:
            raise AppError(
                "older_vocabulary",
                "The vocabulary was stored by another version of the studio.",
                REBUILD_HINT,
                status=409,
            )
        self.spelling: Spelling = spelling
        self.first_token = FirstToken.load(table.schema.metadata)
        ids = table["token_id"].to_numpy()
        self._tokens: pa.ChunkedArray = table["token"]
        self._place = np.full(int(ids.max(initial=-1)) + 1, -1, dtype=np.int64)
        self._place[ids] = np.arange(len(ids))

    def raw(self, token_ids: Iterable[int]) -> list[str]:
        """Raw strings of ids; an id that the tokenizer does not have shows as <id>."""
        return [self._raw(int(token_id)) for token_id in token_ids]

    def text(self, token_id: int) -> str:
        """What one token stands for, by itself."""
        return token_texts(self.raw([token_id]), self.spelling)[0]

    def _raw(self, token_id: int) -> str:
        place = int(self._place[token_id]) if 0 <= token_id < len(self._place) else -1
        return (self._tokens[place].as_py() if place >= 0 else "") or f"<{token_id}>"


def vocabulary_of(language_model_id: int) -> Vocabulary:
    """The vocabulary of a ready language model. AppError "no_vocabulary" when its file is gone, "older_vocabulary"."""
    path = language_model_folder(language_model_id) / VOCABULARY_NAME
    if not path.exists():
        raise AppError("no_vocabulary", "The model's vocabulary is missing.", "Import the model again.", status=409)
    return vocabulary_read(path)


def vocabulary_read(path: Path) -> Vocabulary:
    """A vocabulary file, kept in memory until it changes. OSError, ArrowInvalid, AppError "older_vocabulary"."""
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, changed_ns: int) -> Vocabulary:
    return Vocabulary(path)
