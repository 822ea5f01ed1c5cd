"""Which control tokens of a rendered conversation are the chat template's own. Standard library only.

A template writes a conversation as one string in which its own "<|im_end|>" looks like one that a user typed. So control
tokens that a user's words spell are broken before the template sees them, whatever the template writes is marked after it,
and the breaks are healed. Marks are Unicode noncharacters, which are no text: words that hold them get U+FFFD instead.
"""

import re
from functools import lru_cache

OPEN, CLOSE = "\ufdd0", "\ufdd1"
"""Around a control token of the template."""
BREAK, LETTER = "\ufdd2", "\ufdd3"
"""Within a control token that a user spelled; behind one of a single letter."""
REFUSED = "\ufdd4"
"""Before a text that the template refused to write."""
ALL = (OPEN, CLOSE, BREAK, LETTER, REFUSED)
OWN = re.compile(f"{OPEN}[^{CLOSE}]*{CLOSE}")
_NO_TEXT = dict.fromkeys(map(ord, ALL), "\ufffd")
_MARKS = dict.fromkeys(map(ord, ALL))


def marked(token: str) -> str:
    """A control token as the template's own."""
    return f"{OPEN}{token}{CLOSE}"


def plain(text: str) -> str:
    """`text` without marks: what people see, and what a document is known by."""
    return text.translate(_MARKS)


def words_of_user(words: str) -> str:
    """A user's words without what could be taken for a mark."""
    return words.translate(_NO_TEXT) if any(mark in words for mark in ALL) else words


def broken(words: str, control: frozenset[str]) -> str:
    """A user's words in which no control token is whole, nor becomes whole by what a template writes before or behind."""
    words = words_of_user(words)
    if not control:
        return words
    words = _any_of(control).sub(_broken_token, words)
    begins, ends, longest = _edges(control)
    # Beside the letters of a token, not outside of white space: a template may trim that.
    core = words.strip()
    if any(core[:length] in ends for length in range(1, longest)):
        words = words.replace(core, BREAK + core, 1)
    if any(core[-length:] in begins for length in range(1, longest)):
        words = words.rstrip() + BREAK + words[len(words.rstrip()) :]
    return words


def own_marked(rendered: str, control: frozenset[str]) -> str:
    """What a template wrote of broken words, its own control tokens marked and the breaks healed."""
    if control:
        rendered = _any_of(control).sub(lambda found: marked(found[0]), rendered)
    return rendered.replace(BREAK, "").replace(LETTER, "")


@lru_cache(maxsize=8)
def _any_of(control: frozenset[str]) -> re.Pattern[str]:
    """The longest first, as tokenizers look for them; no single letter of a user."""
    return re.compile(f"(?:{'|'.join(map(re.escape, sorted(control, key=len, reverse=True)))})(?!{LETTER})")


def _broken_token(found: re.Match[str]) -> str:
    token = found[0]
    return token + LETTER if len(token) == 1 else token[0] + BREAK + token[1:]


@lru_cache(maxsize=8)
def _edges(control: frozenset[str]) -> tuple[frozenset[str], frozenset[str], int]:
    """Proper beginnings of control tokens, proper ends, and the length of the longest token."""
    begins = {token[:length] for token in control for length in range(1, len(token))}
    ends = {token[length:] for token in control for length in range(1, len(token))}
    return frozenset(begins), frozenset(ends), max(map(len, control))
