"""Words from tokens, against tokenizers trained on the spot: their decode, their offsets, and the words that went in."""

import functools

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer

from workers.engine.text.spelling import Spelling, TokenScheme
from workers.engine.text.tokens import token_texts
from workers.engine.text.words import Word, word_at, words, words_by_offsets

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"
TEXTS = [
    " ".join(f"{letter}{letter}{letter} {letter}" for letter in LETTERS),
    "the cat sat on the mat, isn't it? (yes) 3.5 rats unhappily rewriting_things",
    "naïve café – “quoted” 🙂🙂 日本語 日本 Привет мир",
    "line\nbreak\tand\ttab   spaces",
] * 3
ALPHABET = sorted({*"".join(TEXTS), *map(chr, range(0x20, 0x7F))})
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
BYTE_LEVEL = Spelling(TokenScheme.BYTE_LEVEL)
SENTENCEPIECE = Spelling(TokenScheme.SENTENCEPIECE, has_bytes=True)
WORDPIECE = Spelling(TokenScheme.WORDPIECE)
END_OF_WORD = Spelling(TokenScheme.END_OF_WORD)
PLAIN = Spelling(TokenScheme.PLAIN)
SPECIAL = ["<unk>", "<|endoftext|>"]


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS, BpeTrainer(vocab_size=330, initial_alphabet=alphabet, special_tokens=SPECIAL))
    return made


def sentencepiece_bpe() -> Tokenizer:
    """As Llama's: blanks become ▁, characters beyond the alphabet become bytes."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    made.decoder = _sentencepiece_decoder()
    made.train_from_iterator(
        TEXTS, BpeTrainer(vocab_size=430, special_tokens=[*SPECIAL, *BYTES], limit_alphabet=50, show_progress=False)
    )
    return made


def sentencepiece_unigram() -> Tokenizer:
    """As T5's and Gemma's."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    made.train_from_iterator(
        TEXTS, UnigramTrainer(vocab_size=420, special_tokens=[*SPECIAL, *BYTES], unk_token="<unk>", show_progress=False)
    )
    pieces = [(token, -9.0) for token in made.get_vocab() if token not in SPECIAL]
    ranked = sorted(pieces, key=lambda piece: made.token_to_id(piece[0]))
    made.model = models.Unigram([("<unk>", 0.0), ("<|endoftext|>", 0.0), *ranked], unk_id=0, byte_fallback=True)
    made.decoder = _sentencepiece_decoder()
    return made


def _sentencepiece_decoder():
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])


def wordpiece() -> Tokenizer:
    """As BERT's, without lower case."""
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(cleanup=False)
    made.train_from_iterator(
        TEXTS, WordPieceTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=ALPHABET, show_progress=False)
    )
    return made


def end_of_word() -> Tokenizer:
    """As CLIP's: </w> ends a word."""
    made = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.BPEDecoder()
    made.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=SPECIAL, initial_alphabet=ALPHABET, end_of_word_suffix="</w>"
        ),
    )
    return made


MAKERS = {
    "byte_level": (byte_level, BYTE_LEVEL),
    "sentencepiece_bpe": (sentencepiece_bpe, SENTENCEPIECE),
    "sentencepiece_unigram": (sentencepiece_unigram, SENTENCEPIECE),
    "wordpiece": (wordpiece, WORDPIECE),
    "end_of_word": (end_of_word, END_OF_WORD),
}
each_tokenizer = pytest.mark.parametrize("name", MAKERS)
plain_words = st.lists(st.text(LETTERS, min_size=1, max_size=9), min_size=1, max_size=12)
any_text = st.one_of(st.text(), st.text(st.sampled_from("ab ,.'é🙂日\n")), st.sampled_from(TEXTS))


@functools.cache
def tokenizer(name: str) -> Tokenizer:
    return MAKERS[name][0]()


def grouped(name: str, text: str) -> tuple[list[str], list[Word]]:
    """Raw tokens of the text and their words."""
    raw = tokenizer(name).encode(text, add_special_tokens=False).tokens
    return raw, words(raw, MAKERS[name][1])


@each_tokenizer
@given(text=any_text)
def test_the_words_of_a_context_join_to_its_text_and_share_out_its_tokens(name, text):
    encoded = tokenizer(name).encode(text, add_special_tokens=False)
    found = words(encoded.tokens, MAKERS[name][1])
    decoded = tokenizer(name).decode(encoded.ids, skip_special_tokens=False)
    joined = "".join(word.text for word in found)
    # The decoder of </w> drops the blank after the last word; it is all that may differ.
    assert joined.removesuffix(" ") == decoded.removesuffix(" ")
    assert [token for word in found for token in range(word.start, word.stop)] == list(range(len(encoded.tokens)))
    assert all(word.start < word.stop for word in found)
    if name in ("byte_level", "sentencepiece_bpe", "sentencepiece_unigram") and "▁" not in text:
        assert joined == text


@each_tokenizer
@given(sent=plain_words)
def test_words_between_blanks_come_back_whatever_the_tokenizer_made_of_them(name, sent):
    _, found = grouped(name, " ".join(sent))
    assert [word.text.strip() for word in found] == sent


@each_tokenizer
@given(sent=plain_words)
def test_offsets_give_the_same_words_as_raw_tokens(name, sent):
    text = " ".join(sent) + " café, 🙂日本 ends"
    encoded = tokenizer(name).encode(text, add_special_tokens=False)
    by_offsets = words_by_offsets(text, encoded.offsets)
    assert "".join(word.text for word in by_offsets) == text
    # Whole texts only: WordPiece and </w> tell no blank from none between a word and a mark.
    spans = [(word.start, word.stop) for word in words(encoded.tokens, MAKERS[name][1])]
    assert [(word.start, word.stop) for word in by_offsets] == spans


@given(text=any_text)
def test_offsets_of_split_characters_join_to_the_text(text):
    encoded = tokenizer("byte_level").encode(text, add_special_tokens=False)
    found = words_by_offsets(text, encoded.offsets)
    assert "".join(word.text for word in found) == text
    assert [token for word in found for token in range(word.start, word.stop)] == list(range(len(encoded.tokens)))


@given(st.lists(st.text(st.sampled_from("bd3_',.-(ñ🙂"), max_size=12).map("b{}".format), min_size=1, max_size=3))
def test_borders_are_those_of_unicode_word_segmentation(parts):
    """With a token for each character; the `regex` package implements UAX #29, but cuts between an apostrophe and a vowel
    and after accents that stand alone, so there are neither here."""
    expected: list[str] = []
    for part in parts:
        first, *rest = regex.findall(r"(?w).+?\b", part)
        expected += [f" {first}" if expected else first, *rest]
    assert [word.text for word in words(list(" ".join(parts)), PLAIN)] == expected


@pytest.mark.parametrize(
    ("spelling", "raw", "expected"),
    [
        (BYTE_LEVEL, ["Ġun", "belie", "vable", ",", "Ġhe", "Ġsaid"], [" unbelievable", ",", " he", " said"]),
        (BYTE_LEVEL, ["Ġdon", "'t", "Ġ3", ".", "5", "ĠU", ".", "S", "."], [" don't", " 3.5", " U.S", "."]),
        (BYTE_LEVEL, ["Ġ", "ð", "Ł", "Ļ", "Ĥ", "Ġok"], [" 🙂", " ok"]),
        (BYTE_LEVEL, ["Ċ", "Ċ", "The", "Ġcat"], ["\n", "\n", "The", " cat"]),
        (BYTE_LEVEL, ["Ġthe", ".", "<|endoftext|>", "The"], [" the", ".", "<|endoftext|>", "The"]),
        (SENTENCEPIECE, ["▁Hi", "▁", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "▁you"], [" Hi", " 🙂", " you"]),
        (SENTENCEPIECE, ["▁state", "-", "of", "_", "art"], [" state", "-", "of_art"]),
        (WORDPIECE, ["un", "##happi", "##ly", "now", "."], ["unhappily", " now", " ."]),
        (END_OF_WORD, ["un", "likely</w>", "cat</w>", "!</w>"], ["unlikely ", "cat ", "! "]),
        (SENTENCEPIECE, ["▁caf", "e", "\u0301", "'", "s", "▁👍", "🏽", "👍"], [" cafe\u0301's", " 👍🏽", "👍"]),
        (BYTE_LEVEL, ["æĹ¥", "æľ¬", "èªŀ", "Ġok"], ["日", "本", "語", " ok"]),
    ],
)
def test_words_of_well_known_spellings(spelling, raw, expected):
    assert [word.text for word in words(raw, spelling)] == expected


def test_a_token_leads_to_its_word():
    found = words(["Ġun", "real", "Ġcat"], BYTE_LEVEL)
    assert [word_at(found, token) for token in range(3)] == [0, 0, 1]
    with pytest.raises(IndexError):
        word_at(found, 3)


def test_no_tokens_have_no_words():
    assert words([], BYTE_LEVEL) == [] and words_by_offsets("", []) == []


def test_unknown_tokens_and_bytes_cut_short_still_share_out_their_tokens():
    raw = ["ð", "Ł", "Ġa", "Ĥ"]
    found = words(raw, BYTE_LEVEL)
    assert "".join(word.text for word in found) == "".join(token_texts(raw, BYTE_LEVEL))
    assert [(word.start, word.stop) for word in found][-1][1] == len(raw)
