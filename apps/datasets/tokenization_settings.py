"""What sets one tokenization apart from another, in a few words: two of one dataset may differ in nothing else."""

from workers.engine.specs.tokenization import TokenizeSpec

WORDS_LIMIT = 200


def variant_words(spec: TokenizeSpec) -> str:
    """The options that are not at their default, as "overlap 16, standard cleaning, strict filter"; empty for none.

    Dataset, tokenizer and context length are not among them: every name of a tokenization says those.
    """
    words = [_contexts(spec), _text(spec), _filters(spec), _parts(spec)]
    return ", ".join(word for group in words for word in group)[:WORDS_LIMIT]


def _contexts(spec: TokenizeSpec) -> list[str]:
    """How documents come to lie in contexts."""
    words = []
    if spec.packing == "document":
        words.append("one document per context")
        if spec.overflow == "truncate":
            words.append("longer ones cut off")
    elif not spec.separate_documents:
        words.append("no end-of-text between documents")
    if spec.stride:
        words.append(f"overlap {spec.stride}")
    if not spec.prepend_bos:
        words.append("no first token")
    return words


def _text(spec: TokenizeSpec) -> list[str]:
    """What text is cut."""
    words = []
    if spec.text_column:
        words.append(f"column {spec.text_column}")
    if not spec.chat_template:
        words.append("no chat template")
    if spec.cleaning != "none":
        words.append(f"{spec.cleaning} cleaning")
    return words


def _filters(spec: TokenizeSpec) -> list[str]:
    """What is taken out."""
    words = []
    if spec.token_filter != "none":
        words.append(f"{spec.token_filter} filter")
    if spec.remove_punctuation:
        words.append("no punctuation")
    if spec.remove_stop_words:
        words.append("no stop words")
    if spec.custom_characters:
        count = len(spec.custom_characters)
        words.append(f"without {count} chosen character{'s' if count > 1 else ''}")
    return words


def _parts(spec: TokenizeSpec) -> list[str]:
    """Which documents, and in which part."""
    words = []
    if spec.min_tokens > 1:
        words.append(f"documents from {spec.min_tokens:,} tokens on")
    if spec.junk_threshold < 1:
        words.append(f"junk limit {spec.junk_threshold:g}")
    if spec.heldout_pct != 5:
        words.append(f"{spec.heldout_pct:g} % held out")
    return words
