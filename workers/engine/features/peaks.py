"""Where the peaks of examples lie: the place in its context, the word that holds it, and spaCy's token there.

Examples keep a window of token ids and the number of its context; the window's place in the context is found again by
comparing ids. A context in which the same window stands twice gives its first place: the words around it are the same.

Shapes: C contexts, T tokens in a context, S example slots, W window, M parsed tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from workers.engine.datasets.contexts import PARTS, Contexts
from workers.engine.features.parsing import ParsedTokens
from workers.engine.features.windows import OUTSIDE
from workers.engine.language_models.stored_vocabulary import vocabulary_read
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.features import TOP_GROUP
from workers.engine.tensor_file import tensor_file_open
from workers.engine.text.tokens import TokenPiece, token_pieces
from workers.engine.text.words import words_of_pieces

NONE = -1


@dataclass(frozen=True)
class Peaks:
    """Distinct peaks of one latent, in the order of their slots: row in ExampleContexts and place in the context."""

    row_N: np.ndarray
    position_N: np.ndarray


class Examples:
    """The top and quantile examples of a feature run, memory-mapped."""

    def __init__(self, run_dir: str | Path) -> None:
        self._tensors = tensor_file_open(Path(run_dir) / "examples.safetensors")
        group_S = self._tensors["group"]
        self._slots = np.flatnonzero(group_S >= TOP_GROUP)

    @property
    def latents(self) -> int:
        return len(self._tensors["context"])

    def contexts(self, latents: range) -> np.ndarray:
        """Numbers of the contexts that occur in the examples of these latents, ascending."""
        found = np.unique(self._tensors["context"][latents.start : latents.stop, self._slots])
        return found[found != NONE]

    def peaks(self, latent: int, contexts: "ExampleContexts") -> Peaks:
        """Where the latent's examples peak; the same place in two slots counts once. Raises BadArtifact when a window does not
        stand in its context."""
        number_S = self._tensors["context"][latent, self._slots]
        slots = self._slots[number_S != NONE]
        row_S = contexts.rows(number_S[number_S != NONE])
        position_S = contexts.positions(
            row_S, self._tensors["token_ids"][latent, slots], self._tensors["peak"][latent, slots].astype(np.int64)
        )
        _, first = np.unique(row_S * contexts.length + position_S, return_index=True)
        kept = np.sort(first)
        return Peaks(row_S[kept], position_S[kept])


class ExampleContexts:
    """The contexts of `numbers`, which count through both parts of a tokenization."""

    def __init__(self, tokenization_dir: str | Path, vocabulary: Path, numbers: np.ndarray) -> None:
        train, heldout = (Contexts.open(tokenization_dir, part) for part in PARTS)
        if len(numbers) and numbers[-1] >= len(train) + len(heldout):
            raise BadArtifact(
                f"The examples name context {numbers[-1]:,}; the tokenization has {len(train) + len(heldout):,}.",
                "Start another feature run.",
            )
        self.numbers = numbers
        of_train, of_heldout = numbers[numbers < len(train)], numbers[numbers >= len(train)] - len(train)
        self.tokens_CT = np.concatenate([train.tokens[of_train], heldout.tokens[of_heldout]])
        lengths_C = np.concatenate([train.lengths[of_train], heldout.lengths[of_heldout]])
        self.tokens_CT[np.arange(self.length) >= lengths_C[:, None]] = OUTSIDE
        self.vocabulary = vocabulary_read(vocabulary)
        self._padding: np.ndarray | None = None

    @property
    def length(self) -> int:
        """Tokens in a context, T."""
        return self.tokens_CT.shape[1]

    def rows(self, numbers_S: np.ndarray) -> np.ndarray:
        """(S,) rows of context numbers that are all known."""
        return np.searchsorted(self.numbers, numbers_S)

    def pieces(self, row: int) -> list[TokenPiece]:
        """What each token of a context shows."""
        ids = self.tokens_CT[row]
        return token_pieces([self.raw(i) for i in ids[ids != OUTSIDE].tolist()], self.vocabulary.spelling)

    def raw(self, token_id: int) -> str:
        """The vocabulary's string of a token; one that it lacks shows as its number."""
        return self.vocabulary.tokens.get(token_id) or f"<{token_id}>"

    def positions(self, row_S: np.ndarray, window_SW: np.ndarray, peak_S: np.ndarray) -> np.ndarray:
        """(S,) place of each window's peak in its context."""
        S, W = window_SW.shape
        slot_N, place_N = np.nonzero(self.tokens_CT[row_S] == window_SW[np.arange(S), peak_S][:, None])
        columns_NW = place_N[:, None] + np.arange(W) + W - peak_S[slot_N][:, None]
        is_there_N = (self._padded(W)[row_S[slot_N][:, None], columns_NW] == window_SW[slot_N]).all(1)
        found_S, first = np.unique(slot_N[is_there_N], return_index=True)
        if len(found_S) < S:
            raise BadArtifact(
                "An example's window is not in its context: the tokenization changed after the run.",
                "Start another feature run.",
            )
        return place_N[is_there_N][first]

    def _padded(self, width: int) -> np.ndarray:
        """Contexts with `width` places outside on either side."""
        if self._padding is None or self._padding.shape[1] != self.length + 2 * width:
            self._padding = np.pad(self.tokens_CT, ((0, 0), (width, width)), constant_values=OUTSIDE)
        return self._padding


class Alignment:
    """For each token of the contexts, spaCy's token and the word that it lies in.

    A token lies in the spaCy token that has its first character that is no white space; one that shows nothing, because its
    bytes belong to a character begun earlier, in that of this character.
    """

    def __init__(self, contexts: ExampleContexts, parsed: ParsedTokens) -> None:
        C, T = contexts.tokens_CT.shape
        self.word_CT = np.full((C, T), NONE, np.int32)
        self.is_part_CT = np.zeros((C, T), bool)
        self._word_codes: dict[str, int] = {}
        character_CT = np.full((C, T), NONE, np.int64)
        for row in range(C):
            pieces = contexts.pieces(row)
            character_CT[row, : len(pieces)] = first_characters(pieces)
            self._words_fill(row, pieces)
        self.words = list(self._word_codes)
        self.parsed_CT = _parsed_at(character_CT, contexts.rows(parsed.numbers["context"]), parsed)

    def _words_fill(self, row: int, pieces: Sequence[TokenPiece]) -> None:
        for word in words_of_pieces(pieces):
            text = word.text.strip().lower()
            self.word_CT[row, word.start : word.stop] = self._word_codes.setdefault(text, len(self._word_codes))
            shown = sum(1 for piece in pieces[word.start : word.stop] if piece.text.strip())
            self.is_part_CT[row, word.start : word.stop] = shown > 1


def first_characters(pieces: Sequence[TokenPiece]) -> list[int]:
    """The character of the context at which each token is looked up."""
    found, at = [], 0
    for piece in pieces:
        text = piece.text
        blanks = len(text) - len(text.lstrip())
        found.append(at - 1 if not text and at else at + blanks % max(len(text), 1))
        at += len(text)
    return found


def _parsed_at(character_CT: np.ndarray, row_M: np.ndarray, parsed: ParsedTokens) -> np.ndarray:
    """(C, T) int32: the parsed token that has the character, -1 between tokens."""
    if not len(row_M):
        return np.full(character_CT.shape, NONE, np.int32)
    start_M, length_M = parsed.numbers["start"].astype(np.int64), parsed.numbers["length"]
    span = int(max(character_CT.max(initial=0), start_M.max(initial=0))) + 1
    key_CT = np.arange(len(character_CT))[:, None] * span + character_CT
    place_CT = np.searchsorted(row_M * span + start_M, key_CT, side="right") - 1
    is_inside_CT = (row_M[place_CT] == np.arange(len(character_CT))[:, None]) & (place_CT >= 0) & (character_CT >= 0)
    is_inside_CT &= character_CT < start_M[place_CT] + length_M[place_CT]
    return np.where(is_inside_CT, place_CT, NONE).astype(np.int32)


@dataclass(frozen=True)
class Neighbourhood:
    """For each parsed token the one before and after it in its document, white space left out; -1 for none."""

    parsed: ParsedTokens

    @cached_property
    def is_word_M(self) -> np.ndarray:
        """False for white space."""
        space = [code for code, name in enumerate(self.parsed.tables["pos"]) if name == "SPACE"]
        return ~np.isin(self.parsed.codes["pos"], space)

    @cached_property
    def before_M(self) -> np.ndarray:
        place, follows = self._pairs
        found = np.full(len(self.is_word_M), NONE, np.int32)
        found[place[1:][follows]] = place[:-1][follows]
        return found

    @cached_property
    def after_M(self) -> np.ndarray:
        place, follows = self._pairs
        found = np.full(len(self.is_word_M), NONE, np.int32)
        found[place[:-1][follows]] = place[1:][follows]
        return found

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Places of words, and for each but the first whether it stands in the document of the word before."""
        place = np.flatnonzero(self.is_word_M)
        context, document = self.parsed.numbers["context"][place], self.parsed.numbers["document"][place]
        return place, (np.diff(context) == 0) & (np.diff(document) == 0)
