"""What stands at the peaks of one feature: tokens, words, parts of speech, entities, neighbours, dependencies, and a sentence
about them.

Each distinct peak counts once. The small English pipeline has no word vectors, so nearness of meaning is not measured: groups
are lemmas of one entity type or one part of speech.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from spacy.glossary import GLOSSARY

from workers.engine.features.commonalities import listed
from workers.engine.features.parsing import ParsedTokens
from workers.engine.features.peaks import NONE, Alignment, ExampleContexts, Neighbourhood, Peaks
from workers.engine.specs.feature_language import FeatureLanguage, LemmaGroup

LISTED = 10
"""Entries of each list."""
GROUP_LEMMAS = 8
MOST, MANY = 0.5, 0.3
"""More than this share of the examples is "mostly", at least that one "often"."""
FEWEST = 2
"""What is seen once is no pattern."""
Counts = tuple[tuple[str, int], ...]


class LanguageCounter:
    """Counts for one feature after another over the same contexts."""

    def __init__(self, contexts: ExampleContexts, parsed: ParsedTokens) -> None:
        self._contexts, self._parsed = contexts, parsed
        self._alignment = Alignment(contexts, parsed)
        self._near = Neighbourhood(parsed)
        self._morphs = [[] if text in ("", "_") else text.split("|") for text in parsed.tables["morph"]]

    def of(self, peaks: Peaks) -> FeatureLanguage:
        """The language at these peaks."""
        at = peaks.row_N, peaks.position_N
        ids = self._contexts.tokens_CT[at].tolist()
        parsed_N = self._alignment.parsed_CT[at]
        place_n = parsed_N[(parsed_N != NONE)]
        place_n = place_n[self._near.is_word_M[place_n]]
        lists: dict[str, Counter[str]] = {
            "tokens": Counter(map(self._contexts.raw, ids)),
            "words": Counter(word for i in self._alignment.word_CT[at].tolist() if (word := self._alignment.words[i])),
            "pos": self._named("pos", place_n),
            "lemmas": self._named("lemma", place_n),
            "entities": self._named("entity", place_n),
            "morphology": Counter(part for code in self._codes("morph", place_n) for part in self._morphs[code]),
            "relations": self._named("dep", place_n),
            **self._grams("before", place_n, self._near.before_M),
            **self._grams("after", place_n, self._near.after_M),
        }
        heads = self._heads(place_n)
        found = {name: tuple(counter.most_common(LISTED)) for name, counter in lists.items()}
        tags = {*lists["pos"], *lists["entities"], *lists["relations"], *(relation for relation, _ in heads)}
        explained = {tag: words for tag in sorted(tags) if (words := explain(tag))}
        return FeatureLanguage(
            examples=len(ids),
            at_words=len(place_n),
            parts_of_words=int(self._alignment.is_part_CT[at].sum()),
            **found,
            heads=tuple((*pair, count) for pair, count in heads.most_common(LISTED)),
            groups=self._groups(place_n),
            distinct={name: len(counter) for name, counter in lists.items()},
            explained=explained,
            summary=sentence(len(ids), len(place_n), found, explained, self._lemmas_of(found["pos"], place_n)),
        )

    def _codes(self, column: str, place_n: np.ndarray) -> list[int]:
        return self._parsed.codes[column][place_n].tolist()

    def _names(self, column: str, place_n: np.ndarray) -> list[str]:
        table = self._parsed.tables[column]
        return [table[code] for code in self._codes(column, place_n)]

    def _named(self, column: str, place_n: np.ndarray) -> Counter[str]:
        """How often each string of the column occurs, the empty one left out."""
        return Counter(name for name in self._names(column, place_n) if name)

    def _grams(self, name: str, place_n: np.ndarray, beside_M: np.ndarray) -> dict[str, Counter[str]]:
        """The one, two and three words beside the peaks, in reading order, where there are so many."""
        made: dict[str, Counter[str]] = {}
        gram: list[list[str]] = []
        at = place_n
        for size in (1, 2, 3):
            at = beside_M[at]
            kept = at != NONE
            at, gram = at[kept], [[word for word, stays in zip(column, kept) if stays] for column in gram]
            gram = [self._names("lower", at), *gram] if name == "before" else [*gram, self._names("lower", at)]
            made[name if size == 1 else f"{name}_{size}"] = Counter(map(" ".join, zip(*gram)))
        return made

    def _heads(self, place_n: np.ndarray) -> Counter[tuple[str, str]]:
        """(relation, lemma of the head); the root of a sentence has none."""
        step_n = self._parsed.numbers["head"][place_n]
        place_n, step_n = place_n[step_n != 0], step_n[step_n != 0]
        return Counter(zip(self._names("dep", place_n), self._names("lemma", place_n + step_n)))

    def _lemmas_of(self, pos: Counts, place_n: np.ndarray) -> list[str]:
        """The most frequent lemmas of the most frequent part of speech."""
        pairs = zip(self._names("pos", place_n), self._names("lemma", place_n))
        lemmas = Counter(lemma for name, lemma in pairs if name == pos[0][0])
        return [lemma for lemma, _ in lemmas.most_common(3)]

    def _groups(self, place_n: np.ndarray) -> tuple[LemmaGroup, ...]:
        members: dict[str, Counter[str]] = {}
        names = zip(*(self._names(column, place_n) for column in ("entity", "pos", "lemma")))
        for entity, pos, lemma in names:
            members.setdefault(entity or pos, Counter())[lemma] += 1
        made = [
            LemmaGroup(
                name=name,
                count=lemmas.total(),
                lemmas=tuple(lemma for lemma, _ in lemmas.most_common(GROUP_LEMMAS)),
            )
            for name, lemmas in members.items()
        ]
        return tuple(sorted(made, key=lambda group: -group.count)[:LISTED])


def explain(tag: str) -> str:
    """What a tag means, in spaCy's words; "" when it does not say."""
    return GLOSSARY.get(tag, "")


def sentence(
    examples: int, at_words: int, found: dict[str, Counts], explained: dict[str, str], lemmas: Sequence[str]
) -> str:
    """One English sentence about the counts of `FeatureLanguage`; `lemmas` are those of the most frequent part of speech."""
    if not at_words:
        return f"Peaks on white space or special tokens in all of {examples} examples, so there is no word to speak of."
    parts = [_peaks(examples, at_words, found, explained, lemmas)]
    parts += _often(found["entities"], at_words, lambda tag: f"inside a {tag} ({explained.get(tag, tag).lower()})")
    parts += _often(found["before"], at_words, lambda word: f"after “{word}”")
    parts += _often(found["after"], at_words, lambda word: f"before “{word}”")
    if found["pos"][0][0] != "PUNCT":  # a mark's only role is that of a mark
        names = explained | {"ROOT": "the root of its sentence"}
        parts += _often(found["relations"], at_words, lambda tag: f"as {names.get(tag, tag)}")
    return ", ".join(parts) + "."


def _peaks(
    examples: int, at_words: int, found: dict[str, Counts], explained: dict[str, str], lemmas: Sequence[str]
) -> str:
    """The beginning: one word, one part of speech, or many kinds."""
    if found["words"] and found["words"][0][1] > MOST * examples:
        word, count = found["words"][0]
        return f"Peaks {_how(count, examples)} on “{word}” ({count} of {examples} examples)"
    pos, count = found["pos"][0]
    kind, such_as = _plural(explained.get(pos) or pos), listed([f"“{lemma}”" for lemma in lemmas])
    if count > MOST * at_words:
        return f"Peaks {_how(count, at_words)} on {kind} ({count} of {at_words} examples at words) such as {such_as}"
    return f"Peaks on words of several kinds, most often {kind} ({count} of {at_words}), such as {such_as}"


def _plural(name: str) -> str:
    """Names of parts of speech; those that have no plural stay."""
    if name in ("punctuation", "other", "space"):
        return name
    return f"{name[:-1]}ies" if name.endswith("ry") else f"{name}s"


def _often(counts: Counts, of: int, words: Callable[[str], str]) -> list[str]:
    """What is said of the most frequent entry, when it is frequent enough."""
    if not counts or counts[0][1] < max(FEWEST, MANY * of):
        return []
    name, count = counts[0]
    return [f"{_how(count, of)} {words(name)} ({count})"]


def _how(count: int, of: int) -> str:
    return "only" if count == of else "mostly" if count > MOST * of else "often"
