"""Token ids from text and from conversations: the one way for tokenizations, previews, tried texts and steering.

Text is letters: where it spells a control token ("<|endoftext|>"), it is cut as ordinary text, so that a web page about
tokenizers cannot forge the end of a document, nor a user of a chat the turn of another. Only what a chat template itself wrote
(text/control_marks.py) becomes control tokens; for a conversation without such words the ids are those of Transformers'
apply_chat_template. Control tokens are those that the tokenizer calls special, and added ones of their look (<|…|>).

A document has no first token of its own where each context begins with one.
"""

import json
import weakref
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from workers.engine.language_models.loading import first_token_id
from workers.engine.text.control_marks import OWN, REFUSED, broken, marked, own_marked, plain, words_of_user
from workers.engine.text.conversations import Turn, conversation_text
from workers.engine.text.spelling import FirstToken
from workers.engine.text.token_kinds import is_special
from workers.engine.text.tokens import BYTE_FALLBACK

Rules = dict[str, Any]
_cutters: "weakref.WeakKeyDictionary[PreTrainedTokenizerBase, TokenCutter]" = weakref.WeakKeyDictionary()


def token_cutter(tokenizer: PreTrainedTokenizerBase) -> "TokenCutter":
    """The cutter of a tokenizer; made once."""
    if tokenizer not in _cutters:
        _cutters[tokenizer] = TokenCutter(tokenizer)
    return _cutters[tokenizer]


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str, *, prepend_bos: bool) -> list[int]:
    """The ids of one text as a context of a tokenization would hold it: the first token where contexts begin with it, then
    the text. Raises EngineError "no_first_token"."""
    (ids,) = token_cutter(tokenizer).ids([text])
    return [first_token_id(tokenizer), *ids] if prepend_bos else ids


def first_token_of(tokenizer: PreTrainedTokenizerBase) -> FirstToken:
    """What contexts begin with by this tokenizer, and whether it puts that before a text itself."""
    known = [token_id for token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token_id is not None]
    if not known:
        return FirstToken(None, False)
    first_id = first_token_id(tokenizer)
    return FirstToken(first_id, tokenizer("a")["input_ids"][:1] == [first_id])


class TokenCutter:
    """Cuts text, and what a ConversationWriter wrote, with one tokenizer; without a first token."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = weakref.proxy(tokenizer)
        self.control = control_tokens(tokenizer)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, all of it letters."""
        if not self._tokenizer.is_fast:
            return [self._letters(text) for text in texts]
        if self._is_spelled_by_letters:
            return _encoded(self._marked, [words_of_user(text) for text in texts])
        return _encoded(self._own, texts)

    def written_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of what a ConversationWriter wrote: the template's marked tokens are control tokens."""
        if not self._tokenizer.is_fast:
            return [self._written_of_python(text) for text in texts]
        return _encoded(self._marked, texts)

    @cached_property
    def _own(self) -> Tokenizer:
        """The tokenizer's rules, special tokens left alone."""
        backend = self._tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        return backend

    @cached_property
    def _marked(self) -> Tokenizer:
        """The same rules, by which marked control tokens are found and no others; made when it is needed."""
        return Tokenizer.from_str(json.dumps(_marked_rules(json.loads(self._own.to_str()), self.control)))

    @cached_property
    def _is_spelled_by_letters(self) -> bool:
        return _is_spelled_by_letters(self._own, self.control)

    def _written_of_python(self, text: str) -> list[int]:
        """Of a tokenizer written in Python: what lies between the template's tokens is cut piece by piece."""
        ids: list[int] = []
        at = 0
        for found in OWN.finditer(text):
            ids += [*self._letters(text[at : found.start()]), self._tokenizer.convert_tokens_to_ids(plain(found[0]))]
            at = found.end()
        return [*ids, *self._letters(text[at:])]

    def _letters(self, text: str) -> list[int]:
        wishes = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
        return self._tokenizer(text, **wishes)["input_ids"] if text else []


class ConversationWriter:
    """Writes turns as the tokenizer's chat template says, its control tokens marked. What the template refuses becomes
    role-tagged blocks, after REFUSED: `written` conversations, of which `refused` were, by the template's words."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer, self._control = tokenizer, token_cutter(tokenizer).control
        self.written = 0
        self.refused: Counter[str] = Counter()

    def __call__(self, turns: Sequence[Turn]) -> str:
        """The text of one conversation; "" for none."""
        if not turns:
            return ""
        self.written += 1
        said = [
            {"role": broken(turn.role, self._control), "content": broken(turn.content, self._control)} for turn in turns
        ]
        try:
            return own_marked(self._tokenizer.apply_chat_template(said, tokenize=False), self._control)
        except (TemplateError, ValueError, TypeError) as error:
            self.refused[str(error)] += 1
            return REFUSED + words_of_user(conversation_text(turns))


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[str]:
    """The tokens that no user may write: special ones, and added ones that look like them."""
    added = tokenizer.added_tokens_decoder.values()
    found = {token.content for token in added if token.special or is_special(token.content)}
    return frozenset(token for token in found | set(tokenizer.all_special_tokens) if not BYTE_FALLBACK.fullmatch(token))


def _encoded(rules: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Without offsets: the ids are all that is wanted."""
    return [encoding.ids for encoding in rules.encode_batch_fast(list(texts), add_special_tokens=False)]


def _is_spelled_by_letters(backend: Tokenizer, control: frozenset[str]) -> bool:
    """Whether the vocabulary's own pieces, or a token that is not called special, make a control token of its letters."""
    tried = [text for token in control for text in (token, f"a{token}a")]
    found = backend.encode_batch_fast(tried, add_special_tokens=False)
    unknown = getattr(backend.model, "unk_token", None)
    ids = {backend.token_to_id(token) for token in control if token != unknown}
    return any(not ids.isdisjoint(encoding.ids) for encoding in found)


def _marked_rules(rules: Rules, control: frozenset[str]) -> Rules:
    """A tokenizer's rules in which each control token is spelled with its marks, ids unchanged: only marked ones are found."""
    model = rules["model"]
    added = [token for token in rules["added_tokens"] if not (token["special"] and token["content"] not in control)]
    for token in added:
        if token["content"] in control:
            token["content"], token["special"] = marked(token["content"]), True
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {marked(token) if token in control else token: place for token, place in vocabulary.items()}
    else:
        model["vocab"] = [[marked(token) if token in control else token, score] for token, score in vocabulary]
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if control.isdisjoint(_of_merge(pair))]
    if model.get("unk_token") in control:
        model["unk_token"] = marked(model["unk_token"])
    return rules | {"added_tokens": added, "post_processor": None, "truncation": None, "padding": None}


def _of_merge(pair: list[str] | str) -> tuple[str, str, str]:
    """Both parts of a merge and what it makes."""
    left, right = pair.split(" ", 1) if isinstance(pair, str) else pair
    return left, right, left + right
