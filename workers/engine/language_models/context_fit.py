"""Whether tokens and contexts are such as a language model can read: one rule for whatever runs one."""

from transformers import PretrainedConfig, PreTrainedModel

from workers.engine.specs.errors import EngineError


def longest_context(config: PretrainedConfig) -> int | None:
    """Tokens that a context may have; None for an architecture without a bound (ALiBi, state spaces)."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "max_seq_len"):
        if isinstance(length := getattr(text, name, None), int) and length > 0:
            return length
    return None


def contexts_check(model: PreTrainedModel, *, largest_id: int, context_length: int) -> None:
    """Raise EngineError "tokenizer_mismatch" for a token without an embedding, "context_too_long" for a context beyond what
    the model reads. On a GPU either would end in a device assert that names nothing."""
    rows = model.get_input_embeddings().weight.shape[0]
    if largest_id >= rows:
        raise EngineError(
            f"The tokenization has token id {largest_id}; the language model knows ids up to {rows - 1}.",
            "Choose the language model whose tokenizer cut the text, or tokenize with this one's.",
            code="tokenizer_mismatch",
        )
    longest = longest_context(model.config)
    if longest is not None and context_length > longest:
        raise EngineError(
            f"The contexts have {context_length} tokens; the language model reads {longest} at most.",
            "Tokenize with a shorter context length.",
            code="context_too_long",
        )


def tokenizer_check(tokens: int, rows: int) -> None:
    """Raise EngineError "tokenizer_mismatch" when a tokenizer of ids 0, …, `tokens` - 1 names more than the model embeds."""
    if tokens > rows:
        raise EngineError(
            f"The tokenizer names token ids up to {tokens - 1:,}, but the model has embeddings for {rows:,} tokens only.",
            "Take the tokenizer that the model was published with, or give the model rows for the added tokens "
            "(resize_token_embeddings) and save both.",
            code="tokenizer_mismatch",
        )
