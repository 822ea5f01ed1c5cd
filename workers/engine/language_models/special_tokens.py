"""Which token ids are no text but mark the ends and turns of documents."""

from transformers import PreTrainedTokenizerBase


def special_token_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokenizer's own special tokens (BOS, EOS, pad, …) and added tokens that it calls special, in growing order."""
    added = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return tuple(sorted(added | {token_id for token_id in tokenizer.all_special_ids if token_id is not None}))
