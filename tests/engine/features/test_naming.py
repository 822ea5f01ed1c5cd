"""Names of features: words counted by hand, glosses that say what holds, and interest that tells planted concepts from junk."""

from collections.abc import Iterable

import numpy as np
import pytest

from tests.engine.features.test_scoring import brown
from tests.engine.features.worlds import firings_of
from workers.engine.features.commonalities import Commonalities
from workers.engine.features.context_words import NO_WORD, ContextWords, Trait
from workers.engine.features.examples import ExampleChooser, slot_groups, zero_pool
from workers.engine.features.naming import Measured, Namer
from workers.engine.features.near_misses import NearMisses
from workers.engine.features.scoring import Scorer
from workers.engine.features.statistics import latent_statistics
from workers.engine.features.top_tokens import top_tokens
from workers.engine.features.windows import WindowCutter
from workers.engine.specs.features import FeatureRunSpec, Peculiarity
from workers.engine.text.tokens import TokenPiece

SPEC = FeatureRunSpec(sae=1, tokenization=1)
FILLER = (
    *("they", "walked", "over", "the", "long", "road", "and", "came", "to", "a"),
    *("small", "house", "near", "the", "river", "where", "nobody", "lived"),
)


class Text:
    """Contexts of equal length from lines of tokens; a blank begins a word."""

    def __init__(self, contexts: Iterable[list[str]]) -> None:
        contexts = list(contexts)
        self.vocabulary = sorted({token for tokens in contexts for token in tokens})
        number = {token: place for place, token in enumerate(self.vocabulary)}
        self.tokens = np.array([[number[token] for token in tokens] for tokens in contexts], np.int32)
        self.lengths = np.full(len(contexts), self.tokens.shape[1])

    def pieces(self, ids) -> list[TokenPiece]:
        return [TokenPiece(self.vocabulary[each]) for each in ids]

    def at(self, *tokens: str) -> np.ndarray:
        """Flat positions of these tokens, first positions of contexts left out."""
        wanted = [self.vocabulary.index(token) for token in tokens if token in self.vocabulary]
        places = np.flatnonzero(np.isin(self.tokens.reshape(-1), wanted))
        return places[places % self.tokens.shape[1] > 0]


def named(text: Text, centres: np.ndarray, values: np.ndarray, **measured: float):
    """Names of one latent whose strongest examples lie at `centres`."""
    about = {"firings": 100, "density": 0.01, "maximum": 10.0, "agreement": 1.0, "concentration": 0.2} | measured
    pool = np.random.default_rng(0).permutation(np.arange(text.tokens.size))
    pool = pool[pool % text.tokens.shape[1] > 0]
    namer = Namer(text.tokens, text.lengths, text.pieces, pool)
    made = namer.of(Measured(**{name: np.array([value]) for name, value in about.items()}), centres[None], values[None])
    return made.peak_words[0], made.gloss[0], Peculiarity(int(made.peculiarity[0])), float(made.interest[0])


def lines(
    words: list[str], length: int = 16, seed: int = 0, before: str = "", own_line: bool = False
) -> list[list[str]]:
    """A context for each word: filler with the word in its middle; `before` stands just before it."""
    random = np.random.default_rng(seed)
    made = []
    for word in words:
        filler = [f" {each}" for each in random.choice(FILLER, length)]
        filler[7:9] = [before or filler[7], word]
        if own_line:
            filler[7] = ".\n"
        made.append(filler)
    return made


def test_peak_words_are_whole_words_folded_by_case_weighted_by_activation_and_small_shares_are_left_out():
    contexts = [[" The", " leader", " Kh", "rush", "chev", " spoke"]] * 3 + [
        [" KH", "rush", "chev", " of", " the", " rest"]
    ]
    contexts += [[" a", " rush", " of", " the", " wind", " here"]]
    text = Text(contexts)
    centres = np.array([3, 9, 15, 19, 25])  # always the token "rush", or " rush"
    values = np.array([10.0, 10, 10, 9.5, 0.5])
    words, gloss, peculiarity, _ = named(text, centres, values)
    assert [word for word, _ in words] == ["Khrushchev"]
    assert words[0][1] == pytest.approx(39.5 / 40)
    assert gloss.startswith("Peaks on “Khrushchev” (99 %)") and peculiarity is Peculiarity.NONE


@pytest.mark.parametrize(
    "words",
    [
        ["погода", "Погода", "зима"],
        ["天", "气", "天"],
        ["được", "được", "đêm"],
        ["school", "École", "école"],
        ["🙂", "🙂"],
    ],
)
def test_words_of_any_script_become_names(words):
    text = Text(lines([f" {word}" for word in words] * 4))
    found, gloss, _, _ = named(text, text.at(*(f" {word}" for word in words)), np.ones(4 * len(words)))
    assert {word.lower() for word, _ in found} == {word.lower() for word in words}
    assert found[0][0] in gloss


def test_the_gloss_says_what_the_peaks_have_in_common_and_nothing_that_holds_everywhere():
    months = ["May", "June", "July", "August", "March", "April"]
    text = Text(lines([f" {month}" for month in months] * 4, before=" in") + lines([" house"] * 40, seed=1))
    centres = text.at(*(f" {month}" for month in months))
    _, gloss, _, _ = named(text, centres, np.ones(len(centres)))
    assert "“May”" in gloss and "capitalised words" in gloss and "after “in”" in gloss
    endings = [" walking", " reading", " seeing", " flying", " going", " keeping"]
    text = Text(lines(endings * 4) + lines([" house"] * 40, seed=1))
    centres = text.at(*endings)
    assert "always ending in “-ing”" in named(text, centres, np.ones(len(centres)))[1]
    same = Text(lines([" lantern"] * 40, before=" the"))
    assert "always after “the”" in named(same, same.at(" lantern")[:20], np.ones(20))[1]
    everywhere = Text([[" the", " house"] * 8] * 20)
    assert "after" not in named(everywhere, everywhere.at(" house")[:20], np.ones(20))[1]


def test_places_are_told_line_starts_quotes_numbers():
    text = Text(lines([" Alpha", " Beta", " Gamma", " Delta"] * 5, own_line=True) + lines([" house"] * 60, seed=1))
    centres = text.at(" Alpha", " Beta", " Gamma", " Delta")
    assert "at the start of a line" in named(text, centres, np.ones(len(centres)))[1]
    quoted = [
        [" he", " said", " “", word, " yes", "”", " and", " left"]
        for word in ("Well", "Now", "Why", "Oh")
        for _ in range(5)
    ]
    text = Text(quoted + [[" he", " went", " to", " the", " old", " road", " and", " left"]] * 60)
    centres = text.at("Well", "Now", "Why", "Oh")
    assert "inside quotation marks" in named(text, centres, np.ones(len(centres)))[1]
    assert not any(text_traits(text, " left") & Trait.QUOTED)
    years = [f" 19{year}" for year in range(40, 60)]
    text = Text(lines(years))
    assert "always numbers" in named(text, text.at(*years), np.ones(20))[1]


PLAIN = lines([" house"], seed=5) + lines([" road"] * 400, seed=6)
"""Enough other text that what stands there twenty times is no frequent word."""


def text_traits(text: Text, token: str) -> np.ndarray:
    words = ContextWords(text.tokens, text.lengths, text.pieces)
    words.read(text.at(token))
    return words.traits(text.at(token))


@pytest.mark.parametrize(
    ("measured", "expected", "said"),
    [
        ({"firings": 0}, Peculiarity.DEAD, "Never fired"),
        ({"firings": 12}, Peculiarity.RARE, "Fired only 12 times"),
        ({"density": 0.23}, Peculiarity.DENSE, "Fires on 23 % of all tokens."),
        ({"concentration": 0.97}, Peculiarity.ONE_TOKEN, "Peaks on “lantern”"),
    ],
)
def test_peculiar_causes_are_named(measured, expected, said):
    text = Text(lines([" lantern"] * 20) + PLAIN)
    centres = text.at(" lantern")[:20] if measured.get("firings") != 0 else np.full(20, -1)
    _, gloss, peculiarity, interest = named(text, centres, np.ones(20), **measured)
    assert peculiarity is expected and said in gloss
    assert (interest == 0) == (expected in (Peculiarity.DEAD, Peculiarity.RARE))


def test_punctuation_special_tokens_and_first_positions_are_artefacts():
    text = Text(lines([",", ";"] * 10))
    assert named(text, text.at(",", ";"), np.ones(20))[2] is Peculiarity.LAYOUT
    text = Text(lines(["<|im_end|>"] * 20))
    assert named(text, text.at("<|im_end|>"), np.ones(20))[2:] == (Peculiarity.LAYOUT, 0.0)
    text = Text(lines([" house"] * 20))
    firsts = np.arange(20) * text.tokens.shape[1] + 1
    assert named(text, firsts, np.ones(20))[2:] == (Peculiarity.POSITION, 0.0)
    breaks = Text(lines(["\n"] * 20))
    assert named(breaks, breaks.at("\n"), np.ones(20))[1].startswith("Peaks on line breaks and blanks")


def test_pieces_of_many_names_interest_less_than_the_pieces_of_one():
    def interest(stems: list[str]) -> float:
        contexts = [[*PLAIN[0][:6], f" {stem}", "ski", *PLAIN[0][:8]] for stem in stems]
        return named(Text(contexts + PLAIN), np.arange(20) * 16 + 7, np.ones(20))[3]

    of_one, of_many = interest(["Kowal"] * 20), interest([f"{chr(65 + place)}owal" for place in range(20)])
    assert 0 < of_many < of_one / 4


def test_names_do_not_depend_on_which_contexts_were_read_before(tmp_path):
    text = Text(lines([" May", " June", " July"] * 8) + lines([" house", " river"] * 20, seed=2))
    base = np.arange(17, 400, 7)
    one, other = (ContextWords(text.tokens, text.lengths, text.pieces) for _ in range(2))
    one.read(base)
    other.read(base[::-1])
    other.read(np.arange(text.tokens.size))
    places = base[base < text.tokens.size]
    spelled = [
        [words.spellings[code] if code != NO_WORD else "" for code in words.word(places)] for words in (one, other)
    ]
    assert spelled[0] == spelled[1]
    assert Commonalities(one, base)._traits == Commonalities(other, base)._traits


MONTHS = (
    *("January", "February", "March", "April", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
CITIES = (
    *("Chicago", "Boston", "Atlanta", "London", "Paris", "Washington"),
    *("Philadelphia", "Houston", "Dallas", "Berlin", "Rome", "Moscow"),
)
FAMILY = ["father", "mother", "brother", "sister", "son", "daughter", "wife", "husband", "uncle", "aunt"]
SETS = {"months": MONTHS, "cities": CITIES, "family": FAMILY, "school": ["school", "schools", "teacher", "students"],
        "church": ["church", "churches"], "Kennedy": ["Kennedy"], "court": ["court"], "music": ["music", "musical", "jazz"],
        "war": ["war", "wars"], "doctor": ["doctor", "hospital", "patient"]}  # fmt: skip
JUNK = {
    "comma": [","],
    "stop": ["."],
    "quotes": ["``", "''"],
    "brackets": ["(", ")"],
    "semicolon": [";", ":"],
    "dash": ["--"],
}


@pytest.mark.slow
def test_interest_tells_planted_words_and_sets_of_words_from_punctuation_positions_and_random(tmp_path):
    words, _ = brown(tmp_path)
    T, contexts = 64, 250_000 // 64
    texts, ids = np.unique(words[: contexts * T], return_inverse=True)
    tokens = ids.reshape(contexts, T).astype(np.int32)
    random, planted, is_concept = np.random.default_rng(3), [], []
    for kind, sets in ((True, SETS), (False, JUNK)):
        for members in sets.values():
            planted.append(np.isin(ids, np.searchsorted(texts, [f" {word}" for word in members])))
            is_concept.append(kind)
    planted.append(np.arange(ids.size) % T == 1)
    planted += [random.random(ids.size) < share for share in (1e-3, 3e-3, 1e-2, 3e-2)]
    is_concept += [False] * 5
    dense = np.stack(planted, 1) * (random.exponential(5, (ids.size, len(planted))) + 3)
    dense[::T] = 0
    interest = interest_of(tokens, list(texts), dense.astype(np.float32), tmp_path / "firings")
    assert min((dense > 0).sum(0)[np.array(is_concept)]) >= 20
    concepts, junk = interest[np.array(is_concept)], interest[~np.array(is_concept)]
    assert (concepts[:, None] > junk).mean() >= 0.95


def interest_of(tokens: np.ndarray, texts: list[str], dense: np.ndarray, folder) -> np.ndarray:
    """Interest of dense latents (positions, latents) by way of firings, examples and scores, as a run makes them."""
    lengths = np.full(len(tokens), tokens.shape[1])
    firings = firings_of(dense, folder, np.flatnonzero(np.arange(tokens.size) % tokens.shape[1]))
    cutter = WindowCutter(tokens, lengths, SPEC.window_before, SPEC.window_after)
    pool = zero_pool(firings.positions_P, 0)
    chooser = ExampleChooser(SPEC, cutter, pool, NearMisses(cutter, firings.positions_P))
    scorer = Scorer(cutter, firings, texts, pool)
    namer = Namer(tokens, lengths, lambda row: [TokenPiece(texts[each]) for each in row], pool)
    found = []
    for latents in firings.by_latents():
        top = top_tokens(latents, tokens.reshape(-1), 5)
        centres = chooser.centres(latents, top.ids)[:, slot_groups(SPEC) == 0]
        scores = scorer.of(latents, centres, top.counts[:, 0], seed=0)
        known = latent_statistics(latents, len(firings.positions_P))
        measured = Measured(known.count, known.density, known.maximum, scores.agreement, scores.concentration)
        owners = np.repeat(np.arange(len(latents)), centres.shape[1])
        values = np.zeros(centres.size, np.float32)
        is_there = centres.ravel() != -1
        values[is_there] = cutter.activations(latents, owners[is_there], centres.ravel()[is_there])[:, cutter.before]
        found += namer.of(measured, centres, values.reshape(centres.shape)).interest.tolist()
    return np.array(found)
