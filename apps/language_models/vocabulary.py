"""A language model's vocabulary as stored by its import: token strings without a tokenizer."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import pyarrow.parquet as pq

from apps.core.errors import AppError
from apps.language_models.selectors import language_model_folder
from workers.engine.text.tokens import TokenScheme, token_scheme


@dataclass(frozen=True)
class Vocabulary:
    """`tokens[id]` is the tokenizer's raw string of a token; `scheme` says how it spells spaces and bytes."""

    tokens: tuple[str, ...]
    scheme: TokenScheme

    def raw(self, token_ids: Iterable[int]) -> list[str]:
        """Raw strings of ids; an id that the tokenizer does not have shows as <id>."""
        return [self.tokens[i] if 0 <= i < len(self.tokens) and self.tokens[i] else f"<{i}>" for i in token_ids]


def vocabulary_of(language_model_id: int) -> Vocabulary:
    """The vocabulary of a ready language model. AppError "no_vocabulary" when its file is gone."""
    path = language_model_folder(language_model_id) / "vocabulary.parquet"
    if not path.exists():
        raise AppError("no_vocabulary", "The model's vocabulary is missing.", "Import the model again.", status=409)
    return _read(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: str, changed_ns: int) -> Vocabulary:
    table = pq.read_table(path, columns=["token_id", "token"])
    ids, strings = table.column("token_id").to_pylist(), table.column("token").to_pylist()
    tokens = [""] * (max(ids, default=-1) + 1)
    for token_id, string in zip(ids, strings):
        tokens[token_id] = string
    return Vocabulary(tuple(tokens), token_scheme(tokens))
