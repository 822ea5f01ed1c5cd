"""Token strings as text, against the tokenizers library: what is shown, joined, is the text that was cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

from tests.engine.text.spelled import ADDED, ALPHABET, MAKERS, TEXTS, tokenizer
from workers.engine.language_models.spelling import spelling_of
from workers.engine.text.spelling import Spelling, TokenScheme
from workers.engine.text.tokens import TokenPiece, token_pieces, token_texts

BYTE_LEVEL = Spelling(TokenScheme.BYTE_LEVEL)
SENTENCEPIECE = Spelling(TokenScheme.SENTENCEPIECE, has_bytes=True)
WORDPIECE = Spelling(TokenScheme.WORDPIECE)
SPELLINGS = {name: spelling_of(tokenizer(name)) for name in MAKERS}
parts = st.one_of(
    st.sampled_from([*ADDED, "<|x|>", *TEXTS, " ", "日本", "đem", "🙂", "👩‍👩‍👧", "e\u0301", "Việt", "мир"]),
    st.text(st.sampled_from(ALPHABET), max_size=6),
)
mixed_text = st.lists(parts, max_size=8).map("".join)


def read(name: str, text: str) -> list[str]:
    """What the tokens of the text show."""
    return token_texts(tokenizer(name).tokenize(text), SPELLINGS[name])


@given(st.one_of(mixed_text, st.text()))
def test_bytes_of_any_text_join_to_it_with_added_tokens_among_them(text):
    assert "".join(read("byte_level", text)) == text


@given(mixed_text)
def test_sentencepiece_with_bytes_joins_to_the_text(text):
    assert "".join(read("sentencepiece_bpe", text)) == text


@given(mixed_text)
def test_unigram_pieces_join_to_the_text(text):
    assert "".join(read("unigram", text)) == text


@given(st.lists(st.sampled_from([*ADDED, *" ".join(TEXTS).split(), "мир", "đâu"]), min_size=1, max_size=8))
def test_wordpiece_joins_to_the_words_with_blanks_between_them(words):
    """It keeps no blanks; an added token ends a word as a blank does, so it is set apart here as well."""
    assert "".join(read("wordpiece", " ".join(words))).split() == " ".join(words).split()


@given(st.lists(st.integers(0, 250), max_size=30))
def test_broken_byte_sequences_show_as_the_tokenizer_shows_them(ids):
    raw = tokenizer("byte_level").convert_ids_to_tokens(ids)
    assert "".join(token_texts(raw, BYTE_LEVEL)) == tokenizer("byte_level").decode(ids)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("token", ADDED)
def test_an_added_token_shows_as_it_is_written_wherever_it_stands(name, token):
    assert token_texts([token], SPELLINGS[name]) == [token]
    assert token in read(name, f"mat {token}") or f" {token}" in read(name, f"mat {token}")


@pytest.mark.parametrize("name", MAKERS)
def test_a_window_of_tokens_is_read_like_the_whole_context(name):
    """Chinese alone carries none of the marks by which a vocabulary could be told."""
    raw = tokenizer(name).tokenize("我们今天去北京看长城")
    assert "".join(token_texts(raw, SPELLINGS[name])).strip() == "我们今天去北京看长城"


def test_a_character_split_over_tokens_is_shown_on_the_first():
    raw = ["Ġ", "ð", "Ł", "Ļ", "Ĥ", "!"]
    assert token_pieces(raw, BYTE_LEVEL) == [
        TokenPiece(" "),
        TokenPiece("🙂"),
        TokenPiece("", joins_previous=True),
        TokenPiece("", joins_previous=True),
        TokenPiece("", joins_previous=True),
        TokenPiece("!"),
    ]


def test_what_the_table_of_bytes_lacks_is_spelled_plainly():
    raw = ["<|endoftext|>", "   ", "<｜begin▁of▁sentence｜>", "Ġa"]
    assert token_texts(raw, BYTE_LEVEL) == ["<|endoftext|>", "   ", "<｜begin▁of▁sentence｜>", " a"]


def test_an_added_token_ends_a_character_that_is_not_whole():
    spelling = Spelling(TokenScheme.BYTE_LEVEL, frozenset({"đem"}))
    assert token_texts(["æĹ", "đem", "æĹ", "¥"], spelling) == ["�", "đem", "日", ""]


def test_sentencepiece_bytes_merge_into_characters():
    raw = ["▁Hi", "▁", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "é", "<0x0A>"]
    assert token_texts(raw, SENTENCEPIECE) == [" Hi", " ", "🙂", "", "", "", "é", "\n"]
    decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    assert "".join(token_texts(raw, SENTENCEPIECE)) == decoder.decode(raw)


def test_wordpiece_continues_words_as_its_decoder_does():
    raw = ["un", "##believ", "##able", "cat", "##s"]
    assert "".join(token_texts(raw, WORDPIECE)) == decoders.WordPiece(cleanup=False).decode(raw) == "unbelievable cats"


def test_ends_of_words_become_spaces():
    assert token_texts(["un", "likely</w>", "cat</w>"], Spelling(TokenScheme.END_OF_WORD)) == ["un", "likely ", "cat "]
    of_bytes = Spelling(TokenScheme.BYTE_LEVEL, mark="</w>")
    assert token_texts(["Ã©", "t", "Ã©</w>", "la</w>"], of_bytes) == ["é", "t", "é ", "la "]


@pytest.mark.parametrize("name", MAKERS)
def test_a_spelling_is_stored_whole_and_one_of_another_schema_is_none(name):
    stored = SPELLINGS[name].dump().encode()
    assert Spelling.load({b"mistudio.spelling": stored}) == SPELLINGS[name]
    assert Spelling.load({b"mistudio.spelling": stored.replace(b'"schema": 1', b'"schema": 0')}) is None
    assert Spelling.load(None) is None
