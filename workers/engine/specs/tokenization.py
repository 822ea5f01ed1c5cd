"""Specs of tokenizations: cutting a dataset's text into contexts of tokens, and looking at that beforehand."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.base import Inputs, Record, Result, Spec, option
from workers.engine.specs.errors import SpecInvalid

PACKINGS = (
    ("packed", "Packed: documents joined"),
    ("document", "One document per context"),
)
OVERFLOWS = (("chunk", "Go on in further contexts"), ("truncate", "Cut off what does not fit"))
CLEANINGS = (
    ("none", "None: the text as it is"),
    ("minimal", "Minimal: control characters, runs of white space"),
    ("standard", "Standard: also HTML, addresses of the web, Unicode forms (NFKC)"),
    ("aggressive", "Aggressive: also mail addresses, repeated marks and characters"),
)
TOKEN_FILTERS = (
    ("none", "None"),
    ("minimal", "Minimal: control characters"),
    ("conservative", "Conservative: also tokens of white space alone"),
    ("standard", "Standard: also single marks and pure punctuation"),
    ("aggressive", "Aggressive: also tokens of two characters with few letters"),
    ("strict", "Strict: also every token with punctuation in it"),
)
DROP_REASONS = {
    "excluded": "excluded by the curator",
    "empty": "without text",
    "cleaned": "too short after cleaning",
    "short": "fewer tokens than the minimum",
    "junk": "too large a share of junk tokens",
}
"""Why a row makes no document, with the words for it. In the order in which they are tried."""


@dataclass(frozen=True, kw_only=True)
class TokenizeSpec(Spec):
    """Cut a dataset into contexts with the tokenizer of a language model."""

    KIND: ClassVar[str] = "tokenize"
    QUEUE: ClassVar[str] = "cpu"
    TITLE: ClassVar[str] = "Tokenize dataset"
    ENGINE: ClassVar[str] = "datasets.tokenizing:tokenize"

    dataset: int = option(label="Dataset", reference="datasets.Dataset", help="The rows to cut.")
    language_model: int = option(
        label="Tokenizer of",
        reference="language_models.LanguageModel",
        help="The language model whose tokenizer cuts the text.",
    )
    context_length: int = option(
        128,
        label="Context length",
        minimum=8,
        maximum=8192,
        unit="tokens",
        help="Tokens in each context, first token (BOS) included. 128 is the field's habit for small models.",
        source="SAELens context_size",
    )
    packing: str = option(
        "packed",
        label="Contexts",
        choices=PACKINGS,
        help="Packed: documents are joined and cut into full contexts, nothing is wasted. One per context: no token sees "
        "another document; contexts may end early.",
    )
    overflow: str = option(
        "chunk",
        label="Longer documents",
        choices=OVERFLOWS,
        only_for=("packing", ("document",)),
        help="What happens to a document that is longer than a context.",
    )
    stride: int = option(
        0,
        label="Overlap",
        minimum=0,
        maximum=8190,
        unit="tokens",
        help="Tokens that a context repeats from the end of the one before. They are read twice and counted as repeated.",
        source="Transformers' stride",
    )
    prepend_bos: bool = option(
        True,
        label="First token (BOS)",
        help="Begin each context with the tokenizer's first token, as most models were trained. There is exactly one: a chat "
        "template's own, or an end-of-text token of the same id, is not doubled.",
        source="SAELens prepend_bos",
    )
    separate_documents: bool = option(
        True,
        label="End-of-text between documents",
        only_for=("packing", ("packed",)),
        help="Put the tokenizer's end-of-text token between two documents.",
    )
    text_column: str = option(
        "", label="Text column", advanced=True, help="Another column than the dataset's own; empty: the dataset's."
    )
    chat_template: bool = option(
        True,
        label="Chat template",
        advanced=True,
        help="Write conversations as the tokenizer's chat template says, when it has one. Off: role-tagged blocks.",
    )
    cleaning: str = option(
        "none",
        label="Cleaning",
        choices=CLEANINGS,
        advanced=True,
        help="Change the text before it is cut. Rows left with too little text are dropped and counted.",
    )
    min_tokens: int = option(
        1,
        label="Shortest document",
        minimum=1,
        maximum=100_000,
        unit="tokens",
        advanced=True,
        help="Documents with fewer tokens are dropped and counted.",
    )
    token_filter: str = option(
        "none",
        label="Token filter",
        choices=TOKEN_FILTERS,
        advanced=True,
        help="Take tokens out of the text. The model then reads text that nobody wrote, and features of what was taken "
        "out cannot be found: leave it off unless you know why.",
    )
    remove_punctuation: bool = option(
        False, label="Remove punctuation", advanced=True, help="Take out every token that is nothing but punctuation."
    )
    remove_stop_words: bool = option(
        False, label="Remove stop words", advanced=True, help="Take out English function words: the, of, and, …"
    )
    custom_characters: str = option(
        "",
        label="Remove characters",
        pattern=r"[\s\S]{0,255}",
        advanced=True,
        help="Take out every token that holds one of these characters; at most 255.",
    )
    junk_threshold: float = option(
        1.0,
        label="Junk limit",
        minimum=0.01,
        maximum=1.0,
        advanced=True,
        help="Drop a document when at least this share of its tokens would be taken out. 1: only when nothing is left.",
    )
    heldout_pct: float = option(
        5.0,
        label="Held out",
        minimum=0.5,
        maximum=50.0,
        unit="%",
        advanced=True,
        help="Share of documents, chosen by their hash, kept out of every training and used for evaluation.",
    )

    def check(self) -> None:
        if self.stride >= self.context_length - 1:
            raise SpecInvalid(
                f"An overlap of {self.stride} leaves no new token in a context of {self.context_length}.",
                "Choose a smaller overlap.",
                field="stride",
            )

    @property
    def takes_tokens_out(self) -> bool:
        """Whether any filter changes what the language model will read."""
        return bool(
            self.token_filter != "none" or self.remove_punctuation or self.remove_stop_words or self.custom_characters
        )


@dataclass(frozen=True, kw_only=True)
class EditedRow(Record):
    """A row whose text the curator replaced."""

    row: int
    text: str


@dataclass(frozen=True, kw_only=True)
class TokenizeInputs(Inputs):
    """`dataset_dir` has the rows, `model_dir` the tokenizer; rows excluded or edited by the curator come by index."""

    dataset_dir: str = ""
    model_dir: str = ""
    text_column: str = ""
    excluded_rows: tuple[int, ...] = ()
    edited_rows: tuple[EditedRow, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TokenizeResult(Result):
    """The folder holds

        train.safetensors, heldout.safetensors   `tokens` (contexts, context_length) int32; `first_row` (contexts,) int64,
                                                 the dataset row in which the context begins; `lengths` (contexts,)
                                                 int32, tokens that are meant, the places behind them are no tokens
        statistics.safetensors                   `token_counts` (vocabulary,) int64 over the kept tokens of documents,
                                                 `length_counts` (longest + 1,) int64: documents by number of tokens
        dropped.parquet                          row int64, reason (a key of DROP_REASONS)

    Every token is accounted for:

        document_tokens + join_tokens + bos_tokens + repeated_tokens
            = stored + filtered_tokens + truncated_tokens + dropped_tokens + dropped_document_tokens

    where stored = tokens + heldout_tokens.
    """

    contexts: int
    heldout_contexts: int
    tokens: int
    """Tokens stored in the training part, first tokens included."""
    heldout_tokens: int
    documents: int
    heldout_documents: int
    dropped_rows: dict[str, int]
    """Rows that made no document, by a key of DROP_REASONS; all keys are there."""
    edited_rows: int
    """Rows cut with the curator's text in place of their own."""
    refused_rows: int = 0
    """Conversations that the chat template refused: they are written as role-tagged blocks."""
    document_tokens: int
    """Tokens that the tokenizer made of all text it was given, both parts, dropped documents too."""
    join_tokens: int
    """End-of-text tokens put between documents that do not bring one."""
    bos_tokens: int
    """First tokens put before stored contexts; a separator of the same id at a context's beginning stands for it."""
    repeated_tokens: int
    """Tokens stored once more because contexts overlap."""
    filtered_tokens: int
    """Tokens taken out by the token filter, of documents that were kept."""
    truncated_tokens: int
    """Tokens cut off documents that were longer than a context."""
    dropped_tokens: int
    """Tokens of the last, incomplete context of each part, when packed."""
    dropped_document_tokens: int
    """Tokens of documents dropped as short or junk."""
    duplicate_documents: int
    """Documents whose text stood in an earlier document already."""
    first_token_id: int | None = None
    """What each context begins with; None: with text."""
    bos_token_id: int | None
    eos_token_id: int | None
    vocab_size: int
    distinct_tokens: int
    tokenizer_sha256: str
    tokens_sha256: str
    bytes: int
    special_tokens: int | None = None
    """Special tokens at other places than the first of a stored context, separators among them; None where not counted."""
    special_share: float | None = None
    """Of all stored tokens at such places."""


PREVIEW_CHARACTERS = 10_000
"""Of a row or text, so many are shown; what follows is clipped before it is cut."""


@dataclass(frozen=True, kw_only=True)
class TokenPreviewSpec(TokenizeSpec):
    """Show what a tokenization would make of some rows, or of a text of one's own; nothing is stored."""

    KIND: ClassVar[str] = "token_preview"
    QUEUE: ClassVar[str] = "steer"
    TITLE: ClassVar[str] = "Preview tokens"
    PASSING: ClassVar[bool] = True
    ENGINE: ClassVar[str] = "datasets.previewing:token_preview"

    first_row: int = option(0, label="Row", minimum=0, maximum=10**12, help="The first row to show.")
    row_count: int = option(1, label="Rows", minimum=1, maximum=100, help="So many rows from there on.")
    text: str = option("", label="Own text", multiline=True, help="A text to cut instead of rows.")

    def check(self) -> None:
        super().check()
        if len(self.text) > PREVIEW_CHARACTERS:
            raise SpecInvalid(
                f"The text has {len(self.text):,} characters.", f"Give at most {PREVIEW_CHARACTERS:,}.", field="text"
            )


@dataclass(frozen=True, kw_only=True)
class TokenPreviewInputs(TokenizeInputs):
    """As for the tokenization itself."""


@dataclass(frozen=True, kw_only=True)
class PreviewRow(Record):
    """One row as text and as tokens. Equal lengths: `tokens`, `token_ids`, `is_kept`."""

    row: int
    """-1 for a text of one's own."""
    text: str
    """What is cut: cleaned, conversations written out."""
    tokens: tuple[str, ...]
    """Raw token strings of the tokenizer."""
    token_ids: tuple[int, ...]
    is_kept: tuple[bool, ...]
    """False: taken out by the token filter."""
    drop_reason: str
    """A key of DROP_REASONS, "" when the row makes a document."""
    is_clipped: bool
    is_refused: bool = False
    """A conversation that the chat template refused: it is written as role-tagged blocks."""


@dataclass(frozen=True, kw_only=True)
class TokenPreviewResult(Result):
    """`rows` in order; past the dataset's end there are fewer than asked for."""

    rows: tuple[PreviewRow, ...]
    first_token_id: int | None = None
    """What each context would begin with; None: with text."""
