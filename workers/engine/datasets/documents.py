"""From rows of text to documents of token ids: what a tokenization stores and what its preview shows, by one path.

1. Rows that the curator excluded, and rows without text, make no document.
2. The rest is cleaned (text/cleaning.py); too little text left makes no document.
3. The tokenizer cuts it, without special tokens of its own. Text that spells one ("<|endoftext|>") is cut as
   ordinary text, so that a web page about tokenizers cannot forge the end of a document; only what a chat template
   wrote is read with its special tokens.
4. Documents with too few tokens are dropped; the token filter (text/token_filters.py) takes tokens out; documents
   with too large a share of those are dropped.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from workers.engine.language_models.spelling import spelling_of
from workers.engine.specs.tokenization import TokenizeSpec
from workers.engine.text.cleaning import text_clean
from workers.engine.text.conversations import Turn, conversation_text
from workers.engine.text.spelling import Spelling
from workers.engine.text.token_filters import TokenFilter
from workers.engine.text.tokens import token_pieces

BATCH_CHARACTERS = 4_000_000
"""Text handed to the tokenizer at once; its encodings take some hundred bytes for each token."""


@dataclass(frozen=True)
class Document:
    """One row after cutting. Without a token filter `is_kept` is empty: all tokens stay."""

    row: int
    source: str
    """The row's text before cleaning: what decides where the document belongs."""
    text: str
    """What was cut."""
    token_ids: list[int] = field(default_factory=list)
    is_kept: list[bool] = field(default_factory=list)
    drop_reason: str = ""
    """A key of DROP_REASONS; "" for a document that is stored."""

    @property
    def kept_ids(self) -> list[int]:
        """The tokens that are stored."""
        if not self.is_kept:
            return self.token_ids
        return [token_id for token_id, is_kept in zip(self.token_ids, self.is_kept) if is_kept]


class DocumentCutter:
    """Cuts rows as a TokenizeSpec says, with one tokenizer. `is_chat`: the texts were written by its chat template."""

    def __init__(self, spec: TokenizeSpec, tokenizer: PreTrainedTokenizerBase, *, is_chat: bool = False) -> None:
        self.spec, self.tokenizer, self.is_chat = spec, tokenizer, is_chat
        self.filter = TokenFilter(
            spec.token_filter, spec.remove_punctuation, spec.remove_stop_words, spec.custom_characters
        )

    @cached_property
    def spelling(self) -> Spelling:
        """How the vocabulary spells its tokens; only a filter asks."""
        return spelling_of(self.tokenizer)

    def cut(self, start: int, texts: Sequence[str], excluded: frozenset[int] = frozenset()) -> Iterator[list[Document]]:
        """The rows from `start` on, in order, in groups of bounded length; dropped ones are among them."""
        for group in _bounded([self._prepared(row, text, excluded) for row, text in enumerate(texts, start)]):
            yield self._cut(group)

    def _prepared(self, row: int, text: str, excluded: frozenset[int]) -> Document:
        if row in excluded:
            return Document(row, text, "", drop_reason="excluded")
        if not text.strip():
            return Document(row, text, "", drop_reason="empty")
        cleaned = text_clean(text, self.spec.cleaning)
        if cleaned is None:
            return Document(row, text, "", drop_reason="cleaned")
        return Document(row, text, cleaned)

    def _cut(self, group: list[Document]) -> list[Document]:
        alive = [document for document in group if not document.drop_reason]
        ids = iter(self._encode([document.text for document in alive]))
        return [document if document.drop_reason else self._judged(document, next(ids)) for document in group]

    def _judged(self, document: Document, token_ids: list[int]) -> Document:
        kept = self._kept(token_ids)
        return Document(document.row, document.source, document.text, token_ids, kept, self._reason(token_ids, kept))

    def _reason(self, token_ids: list[int], kept: list[bool]) -> str:
        if not token_ids:
            return "empty"
        if len(token_ids) < self.spec.min_tokens:
            return "short"
        if kept and 1 - sum(kept) / len(kept) >= self.spec.junk_threshold:
            return "junk"
        return ""

    def _kept(self, token_ids: list[int]) -> list[bool]:
        if self.filter.does_nothing or not token_ids:
            return []
        raw = self.tokenizer.convert_ids_to_tokens(token_ids)
        return self.filter.is_kept_each(token_pieces([token or "" for token in raw], self.spelling))

    def _encode(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        if self.tokenizer.is_fast:
            backend = self.tokenizer.backend_tokenizer
            backend.no_truncation()
            backend.no_padding()
            backend.encode_special_tokens = not self.is_chat
            # Without offsets: the ids are all that is wanted.
            return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
        return self.tokenizer(
            texts,
            add_special_tokens=False,
            split_special_tokens=not self.is_chat,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]


def conversation_writer(tokenizer: PreTrainedTokenizerBase) -> Callable[[Sequence[Turn]], str]:
    """Writes turns as the tokenizer's chat template says; what the template refuses becomes role-tagged blocks."""

    def write(turns: Sequence[Turn]) -> str:
        if not turns:
            return ""
        said = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            return tokenizer.apply_chat_template(said, tokenize=False)
        except (TemplateError, ValueError, TypeError):
            return conversation_text(turns)

    return write


def _bounded(documents: list[Document]) -> Iterator[list[Document]]:
    """The documents in order, in groups of bounded total length (or one long document alone)."""
    group: list[Document] = []
    characters = 0
    for document in documents:
        if group and characters + len(document.text) > BATCH_CHARACTERS:
            yield group
            group, characters = [], 0
        group.append(document)
        characters += len(document.text)
    if group:
        yield group
