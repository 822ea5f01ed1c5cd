"""Tokenizers of every spelling, trained on a few lines of many scripts, with added tokens that look like spelled bytes."""

import functools

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "the cat sat on the mat, naïve café – “quoted”",
    "我们今天去北京看长城。日本語のテキストです。한국어 문장",
    "Привет мир, наблюдения и число; Ёлка",
    "Tôi không biết tiếng Việt đâu, đem về nhà",
    "🙂🙂 👩‍👩‍👧 👍🏽 e\u0301 a\u0308 q\u0323\u0307",
    "line\nbreak\tand   spaces",
] * 3
SPECIAL = ("<unk>", "<|x|>")
ADDED = ("Öl", "đem", "<0xE4>x", "a▁b", "Ġĉ", "##Öl", "日本x")
"""Letters that are bytes in GPT-2's table, marks of other schemes, whole characters."""
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
ALPHABET = sorted({*"".join(TEXTS), *map(chr, range(0x20, 0x7F))})


def _with_added(made: Tokenizer) -> PreTrainedTokenizerFast:
    made.add_tokens([AddedToken(token, normalized=False) for token in ADDED])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<|x|>", unk_token="<unk>")


def byte_level() -> PreTrainedTokenizerFast:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, special_tokens=[*SPECIAL], show_progress=False),
    )
    return _with_added(made)


def sentencepiece_bpe() -> PreTrainedTokenizerFast:
    """As Llama's: blanks become ▁, characters beyond the alphabet become bytes."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    replaced = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence(replaced)
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=[*SPECIAL, *BYTES], limit_alphabet=45, show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    return _with_added(made)


def unigram() -> PreTrainedTokenizerFast:
    """As XGLM's: pieces with scores, no bytes."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    made.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = trainers.UnigramTrainer(
        vocab_size=420,
        special_tokens=[*SPECIAL],
        unk_token="<unk>",
        initial_alphabet=["▁", *ALPHABET],
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return _with_added(made)


def wordpiece() -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=500, special_tokens=[*SPECIAL], initial_alphabet=ALPHABET, show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    return _with_added(made)


MAKERS = {
    "byte_level": byte_level,
    "sentencepiece_bpe": sentencepiece_bpe,
    "unigram": unigram,
    "wordpiece": wordpiece,
}


@functools.cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    return MAKERS[name]()
