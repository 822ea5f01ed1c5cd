"""Token strings as text, against the tokenizers library: what is shown, joined, is what the tokenizer decodes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from workers.engine.text.tokens import TokenPiece, TokenScheme, token_pieces, token_scheme, token_texts

TEXTS = ["the cat sat on the mat", "naïve café – “quoted” 🙂🙂 日本語 日本", "line\nbreak\tand\ttab   spaces"] * 3


def _trained(merges: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + merges, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"])
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


BYTE_LEVEL = _trained(60)


@given(st.text())
def test_joined_pieces_are_what_the_tokenizer_decodes(text):
    encoded = BYTE_LEVEL.encode(text, add_special_tokens=False)
    pieces = token_texts(encoded.tokens, TokenScheme.BYTE_LEVEL)
    assert len(pieces) == len(encoded.tokens)
    assert "".join(pieces) == BYTE_LEVEL.decode(encoded.ids, skip_special_tokens=False) == text


@given(st.lists(st.integers(0, BYTE_LEVEL.get_vocab_size() - 1), max_size=30))
def test_broken_byte_sequences_show_as_the_tokenizer_shows_them(ids):
    pieces = token_texts([BYTE_LEVEL.id_to_token(i) for i in ids], TokenScheme.BYTE_LEVEL)
    assert "".join(pieces) == BYTE_LEVEL.decode(ids, skip_special_tokens=False)


def test_a_character_split_over_tokens_is_shown_on_the_first():
    raw = ["Ġ", "ð", "Ł", "Ļ", "Ĥ", "!"]
    assert token_pieces(raw) == [
        TokenPiece(" "),
        TokenPiece("🙂"),
        TokenPiece("", joins_previous=True),
        TokenPiece("", joins_previous=True),
        TokenPiece("", joins_previous=True),
        TokenPiece("!"),
    ]


def test_added_tokens_keep_their_plain_spelling():
    raw = ["<|endoftext|>", "   ", "<｜begin▁of▁sentence｜>", "Ġa"]
    assert token_texts(raw, "byte_level") == ["<|endoftext|>", "   ", "<｜begin▁of▁sentence｜>", " a"]


def test_sentencepiece_bytes_merge_into_characters():
    raw = ["▁Hi", "▁", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "é", "<0x0A>"]
    assert token_texts(raw) == [" Hi", " ", "🙂", "", "", "", "é", "\n"]
    decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    assert "".join(token_texts(raw)) == decoder.decode(raw)


def test_wordpiece_continues_words_as_its_decoder_does():
    raw = ["un", "##believ", "##able", "cat", "##s"]
    assert "".join(token_texts(raw)) == decoders.WordPiece(cleanup=False).decode(raw) == "unbelievable cats"


def test_ends_of_words_become_spaces():
    assert token_texts(["un", "likely</w>", "cat</w>"]) == ["un", "likely ", "cat "]


@pytest.mark.parametrize(
    ("vocabulary", "scheme"),
    [
        (["a", "Ġthe", "Ġ", "Ċ", "##"], "byte_level"),
        (["▁the", "▁a", "Ġ", "é"], "sentencepiece"),
        (["[CLS]", "the", "##s"], "wordpiece"),
        (["the</w>", "a"], "end_of_word"),
        (["the", "a"], "plain"),
        ([], "plain"),
    ],
)
def test_the_vocabulary_tells_its_scheme(vocabulary, scheme):
    assert token_scheme(vocabulary) == scheme
