"""From rows of text to documents of token ids: what a tokenization stores and what its preview shows, by one path.

1. Rows that the curator excluded, and rows without text, make no document.
2. The rest is cleaned (text/cleaning.py), of a conversation what stands between the control tokens of its template; too
   little text left makes no document.
3. It is cut into ids (language_models/token_ids.py): control tokens are those that a chat template wrote. Where each
   context begins with the first token, a document that begins with it too has lost it here.
4. Documents with too few tokens are dropped; the token filter (text/token_filters.py) takes tokens out; documents
   with too large a share of those are dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from workers.engine.language_models.loading import first_token_id
from workers.engine.language_models.spelling import spelling_of
from workers.engine.language_models.token_ids import token_cutter
from workers.engine.specs.tokenization import TokenizeSpec
from workers.engine.text.cleaning import LEAST_CHARACTERS, text_cleaned
from workers.engine.text.control_marks import OWN, REFUSED, plain
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
    is_refused: bool = False
    """A conversation that the chat template refused; it is written as role-tagged blocks."""

    @property
    def kept_ids(self) -> list[int]:
        """The tokens that are stored."""
        if not self.is_kept:
            return self.token_ids
        return [token_id for token_id, is_kept in zip(self.token_ids, self.is_kept) if is_kept]


class DocumentCutter:
    """Cuts rows as a TokenizeSpec says, with one tokenizer. `is_chat`: the texts are as a ConversationWriter wrote them."""

    def __init__(self, spec: TokenizeSpec, tokenizer: PreTrainedTokenizerBase, *, is_chat: bool = False) -> None:
        self.spec, self.tokenizer, self.is_chat = spec, tokenizer, is_chat
        self.filter = TokenFilter(
            spec.token_filter, spec.remove_punctuation, spec.remove_stop_words, spec.custom_characters
        )
        self._plain = plain if is_chat else str
        self._ids = token_cutter(tokenizer).written_ids if is_chat else token_cutter(tokenizer).ids
        self._first_id = first_token_id(tokenizer) if spec.prepend_bos else None

    @cached_property
    def spelling(self) -> Spelling:
        """How the vocabulary spells its tokens; only a filter asks."""
        return spelling_of(self.tokenizer)

    def cut(self, start: int, texts: Sequence[str], excluded: frozenset[int] = frozenset()) -> Iterator[list[Document]]:
        """The rows from `start` on, in order, in groups of bounded length; dropped ones are among them."""
        prepared = [self._prepared(row, text, excluded) for row, text in enumerate(texts, start)]
        for group in _bounded(prepared):
            yield self._cut(group)

    def _prepared(self, row: int, text: str, excluded: frozenset[int]) -> "_Prepared":
        is_refused = self.is_chat and text.startswith(REFUSED)
        document = Document(row, self._plain(text), "", is_refused=is_refused)
        if row in excluded:
            return _Prepared(replace(document, drop_reason="excluded"))
        if not document.source.strip():
            return _Prepared(replace(document, drop_reason="empty"))
        cleaned = self._cleaned(text[is_refused:])
        document = replace(document, text=self._plain(cleaned))
        if len(document.text) < LEAST_CHARACTERS[self.spec.cleaning]:
            return _Prepared(replace(document, text="", drop_reason="cleaned"))
        return _Prepared(document, cleaned)

    def _cleaned(self, text: str) -> str:
        """The text, of a conversation what stands between the template's control tokens."""
        if not self.is_chat:
            return text_cleaned(text, self.spec.cleaning)
        parts, at = [], 0
        for own in OWN.finditer(text):
            parts += [text_cleaned(text[at : own.start()], self.spec.cleaning), own[0]]
            at = own.end()
        return "".join([*parts, text_cleaned(text[at:], self.spec.cleaning)])

    def _cut(self, group: list["_Prepared"]) -> list[Document]:
        ids = iter(self._ids([one.marked for one in group if not one.document.drop_reason]))
        return [one.document if one.document.drop_reason else self._judged(one.document, next(ids)) for one in group]

    def _judged(self, document: Document, token_ids: list[int]) -> Document:
        if token_ids and token_ids[0] == self._first_id:
            token_ids = token_ids[1:]
        kept = self._kept(token_ids)
        return replace(document, token_ids=token_ids, is_kept=kept, drop_reason=self._reason(token_ids, kept))

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


@dataclass(frozen=True)
class _Prepared:
    """A document before it is cut; `marked` is its text with the template's marks."""

    document: Document
    marked: str = ""


def _bounded(documents: list[_Prepared]) -> Iterator[list[_Prepared]]:
    """The documents in order, in groups of bounded total length (or one long document alone)."""
    group: list[_Prepared] = []
    characters = 0
    for document in documents:
        if group and characters + len(document.marked) > BATCH_CHARACTERS:
            yield group
            group, characters = [], 0
        group.append(document)
        characters += len(document.marked)
    if group:
        yield group
