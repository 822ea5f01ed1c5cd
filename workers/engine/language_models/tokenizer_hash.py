"""One hash for tokenizers that cut every text alike.

Models of one family share a tokenizer though their files differ in spacing, order or settings of padding. The hash is
therefore over the loaded tokenizer: its rules and vocabulary, and the ids of its first and last token.
"""

import hashlib
import json

from transformers import PreTrainedTokenizerBase

CALL_SETTINGS = ("truncation", "padding")
"""State left behind by calls; it does not change how text is cut."""


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 in hexadecimal; equal hashes mean that tokenizations can be shared between models."""
    if tokenizer.is_fast:
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        rules = {name: rule for name, rule in rules.items() if name not in CALL_SETTINGS}
    else:
        rules = {"class": type(tokenizer).__name__, "vocabulary": tokenizer.get_vocab()}
    identity = [rules, tokenizer.bos_token_id, tokenizer.eos_token_id]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
