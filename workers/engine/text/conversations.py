"""Conversations in a dataset's column: lists of turns, in the forms that chat datasets use. Standard library only.

    OpenAI      [{"role": "user", "content": "…"}, …]
    ShareGPT    [{"from": "human", "value": "…"}, …]
    plain list  ["…", "…", …]: user and assistant by turns

What is said may be a list of parts, [{"type": "text", "text": "…"}, …]: their texts are joined, a line each.

`conversation_text` writes turns as role-tagged blocks, which is how a conversation reads wherever no chat template is
at hand.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workers.engine.text.decoding import safe_text

FIELDS = (("role", "content"), ("from", "value"))
"""(who speaks, what is said) in the known forms."""
ROLES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
}
"""Other words for the roles that chat templates know."""


@dataclass(frozen=True)
class Turn:
    """One utterance. `role` is system, user, assistant, or what the dataset calls it."""

    role: str
    content: str


def conversation_turns(value: Any) -> tuple[Turn, ...] | None:
    """The turns of one value; None when it is no conversation. Turns without words are left out."""
    if not isinstance(value, list | tuple) or not value:
        return None
    if all(isinstance(turn, str) for turn in value):
        return _turns((("user", "assistant")[place % 2], text) for place, text in enumerate(value))
    if all(isinstance(turn, dict) and any(who in turn and what in turn for who, what in FIELDS) for turn in value):
        return _turns(_said(turn) for turn in value)
    return None


def _said(turn: dict[str, Any]) -> tuple[Any, Any]:
    """(who, what) of a turn; one of a column that holds both forms has the fields of both, those of one empty."""
    pairs = [(turn[who], turn[what]) for who, what in FIELDS if who in turn and what in turn]
    return next((pair for pair in pairs if pair[1] is not None), pairs[0])


def _turns(pairs: Iterable[tuple[Any, Any]]) -> tuple[Turn, ...]:
    turns = [Turn(_role(who), safe_text(content_text(what)).text) for who, what in pairs]
    return tuple(turn for turn in turns if turn.content.strip())


def _role(who: Any) -> str:
    word = safe_text(who).text.strip().lower()
    return ROLES.get(word, word or "user")


def content_text(what: Any) -> Any:
    """What is said in a turn: parts joined, all else as it is."""
    if isinstance(what, dict):
        what = [what]
    if not isinstance(what, list | tuple):
        return what
    return "\n".join(text for text in map(_part_text, what) if text)


def parts_text(value: Any) -> str | None:
    """The joined text of a list of parts; None for anything else, lists of other objects and of strings among it."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in value):
        return None
    return content_text(value)


def _part_text(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    return safe_text(text).text if isinstance(text, str | bytes) else ""


def conversation_text(turns: Sequence[Turn]) -> str:
    """The turns as blocks: <|role|>, a line end, what is said, a line end."""
    return "".join(f"<|{turn.role}|>\n{turn.content}\n" for turn in turns)
