"""The scheme that a tokenizer's own rules tell, whatever its tokens look like."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.engine.text.spelled import ADDED, MAKERS, tokenizer
from tests.engine.tiny_models import tiny_tokenizer
from workers.engine.language_models.spelling import spelling_of
from workers.engine.text.spelling import Spelling, TokenScheme
from workers.engine.text.tokens import token_texts


def made(model, decoder=None, cutter=None) -> Tokenizer:
    backend = Tokenizer(model)
    if decoder is not None:
        backend.decoder = decoder
    if cutter is not None:
        backend.pre_tokenizer = cutter
    return backend


def spelled(backend: Tokenizer) -> Spelling:
    return spelling_of(PreTrainedTokenizerFast(tokenizer_object=backend))


@pytest.mark.parametrize(
    ("backend", "spelling"),
    [
        (made(models.BPE(), decoders.ByteLevel()), Spelling(TokenScheme.BYTE_LEVEL)),
        (made(models.BPE(), None, pre_tokenizers.ByteLevel()), Spelling(TokenScheme.BYTE_LEVEL)),
        (made(models.WordPiece()), Spelling(TokenScheme.WORDPIECE)),
        (made(models.WordPiece(), decoders.WordPiece(prefix="@@")), Spelling(TokenScheme.WORDPIECE, mark="@@")),
        (made(models.BPE(), decoders.BPEDecoder()), Spelling(TokenScheme.END_OF_WORD)),
        (made(models.Unigram(), decoders.Metaspace()), Spelling(TokenScheme.SENTENCEPIECE)),
        (made(models.Unigram(), decoders.Metaspace("_")), Spelling(TokenScheme.SENTENCEPIECE, mark="_")),
        (
            made(models.BPE(), decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])),
            Spelling(TokenScheme.SENTENCEPIECE, has_bytes=True),
        ),
        (made(models.WordLevel()), Spelling(TokenScheme.PLAIN)),
    ],
)
def test_the_decoder_tells_the_scheme_not_the_tokens(backend, spelling):
    assert spelled(backend) == spelling


@pytest.mark.parametrize("name", MAKERS)
def test_added_tokens_are_literal(name):
    assert {*ADDED, "<|x|>"} <= spelling_of(tokenizer(name)).literal


def test_what_the_model_makes_itself_is_spelled_by_the_scheme_though_it_is_listed_as_added():
    """Gemma lists runs of ▁ among its added tokens; its model makes them of spaces."""
    backend = made(models.BPE({"▁": 0, "▁▁": 1, "a": 2}, [("▁", "▁")]), decoders.Replace("▁", " "))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    backend.add_tokens([AddedToken("▁▁", normalized=False), AddedToken("a▁b", normalized=False)])
    spelling = spelled(backend)
    assert spelling.literal == {"a▁b"}
    assert token_texts(backend.encode("a  a▁b").tokens, spelling) == ["a", "  ", "a▁b"]


def test_the_tiny_tokenizer_is_byte_level():
    assert spelling_of(tiny_tokenizer()) == Spelling(TokenScheme.BYTE_LEVEL, frozenset({"<s>", "</s>"}))
