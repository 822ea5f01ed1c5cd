"""Conversations in a dataset's column: lists of turns, in the forms that chat datasets use. Standard library only.

    OpenAI      [{"role": "user", "content": "…"}, …]
    ShareGPT    [{"from": "human", "value": "…"}, …]
    plain list  ["…", "…", …]: user and assistant by turns

`conversation_text` writes turns as role-tagged blocks, which is how a conversation reads wherever no chat template is
at hand.
"""

from collections.abc import Sequence
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
    for who, what in FIELDS:
        if all(isinstance(turn, dict) and who in turn and what in turn for turn in value):
            return _turns((turn[who], turn[what]) for turn in value)
    return None


def _turns(pairs: Any) -> tuple[Turn, ...]:
    turns = [Turn(_role(who), safe_text(_words(what)).text) for who, what in pairs]
    return tuple(turn for turn in turns if turn.content.strip())


def _role(who: Any) -> str:
    word = safe_text(who).text.strip().lower()
    return ROLES.get(word, word or "user")


def _words(what: Any) -> Any:
    """OpenAI's content may be a list of parts, of which the texts count."""
    if isinstance(what, list | tuple):
        return "\n".join(part["text"] for part in what if isinstance(part, dict) and isinstance(part.get("text"), str))
    return what


def conversation_text(turns: Sequence[Turn]) -> str:
    """The turns as blocks: <|role|>, a line end, what is said, a line end."""
    return "".join(f"<|{turn.role}|>\n{turn.content}\n" for turn in turns)
