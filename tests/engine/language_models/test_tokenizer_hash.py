"""Tokenizers that cut alike have one hash."""

from transformers import AutoTokenizer

from tests.engine.tiny_models import tiny_tokenizer
from workers.engine.language_models.tokenizer_hash import tokenizer_sha256


def test_saving_loading_and_calling_change_nothing(tmp_path):
    tokenizer = tiny_tokenizer()
    known = tokenizer_sha256(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    loaded(["a longer text"], truncation=True, max_length=2)
    assert tokenizer_sha256(loaded) == known


def test_another_token_or_another_first_token_changes_it():
    first, more, other_bos = tiny_tokenizer(), tiny_tokenizer(), tiny_tokenizer()
    more.add_tokens(["new"])
    other_bos.bos_token = "</s>"
    assert len({tokenizer_sha256(t) for t in (first, more, other_bos)}) == 3
