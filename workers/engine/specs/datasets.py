"""Specs of datasets: bringing text in and cutting it into contexts of tokens."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.base import Inputs, Record, Result, Spec, option
from workers.engine.specs.errors import SpecInvalid

DATASET_SOURCES = (("hub", "Hugging Face Hub"), ("file", "Local file or folder"))
FILE_FORMATS = (".txt", ".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class DatasetImportSpec(Spec):
    """Bring rows of text into the studio, from the Hub (streamed) or from a local file."""

    KIND: ClassVar[str] = "dataset_import"
    QUEUE: ClassVar[str] = "io"
    TITLE: ClassVar[str] = "Import dataset"
    ENGINE: ClassVar[str] = "datasets.importing:dataset_import"

    name: str = option("", label="Name", help="How the dataset is called in the studio; empty takes the source's name.")
    source: str = option("hub", label="From", choices=DATASET_SOURCES, help="Where the rows come from.")
    repo_id: str = option(
        "",
        label="Repository",
        only_for=("source", ("hub",)),
        is_needed=True,
        help="Id on the Hub such as roneneldan/TinyStories, or the address of its page.",
    )
    config: str = option(
        "", label="Configuration", only_for=("source", ("hub",)), help="Subset of the repository; empty: the default."
    )
    split: str = option("train", label="Split", only_for=("source", ("hub",)), help="train, validation, test, …")
    path: str = option(
        "",
        label="Path",
        only_for=("source", ("file",)),
        is_path=True,
        is_needed=True,
        help="A .txt (one document per paragraph), .jsonl, .csv or .parquet file on the studio's machine.",
    )
    text_column: str = option(
        "", label="Text column", help="Column with the text; empty: text, content, else the first string column."
    )
    row_cap: int | None = option(
        100_000, label="Most rows", minimum=1, help="Stop after so many rows; empty takes all.", unit="rows"
    )

    def check(self) -> None:
        if self.source == "hub" and not self.repo_id:
            raise SpecInvalid("No repository was named.", "Give an id such as roneneldan/TinyStories.", field="repo_id")
        if self.source == "file" and not self.path:
            raise SpecInvalid("No file was named.", "Give the path of a file on the studio's machine.", field="path")


@dataclass(frozen=True, kw_only=True)
class DatasetImportInputs(Inputs):
    """`path` is the checked absolute path of a local source; empty for the Hub. The token comes by environment."""

    path: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetImportResult(Result):
    """The folder holds rows/part-*.parquet with all columns, row order kept."""

    rows: int
    bytes: int
    """Size of the rows folder on disk."""
    columns: tuple[str, ...]
    column_types: tuple[str, ...]
    text_column: str
    text_bytes: int
    """UTF-8 bytes in the text column."""
    undecodable_rows: int = 0
    """Rows whose text was not valid UTF-8 and was read as Latin-1."""
    nul_rows: int = 0
    """Rows from whose text NUL characters were removed."""
    licence: str = ""
    revision: str = ""
    content_sha256: str = ""
    """Hash over the text column, row by row: the dataset's identity in provenance records."""


@dataclass(frozen=True, kw_only=True)
class TokenizeSpec(Spec):
    """Cut a dataset into packed contexts of fixed length with the tokenizer of a language model."""

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
    heldout_pct: float = option(
        5.0,
        label="Held out",
        minimum=0.5,
        maximum=50.0,
        unit="%",
        advanced=True,
        help="Share of documents, chosen by their hash, kept out of every training and used for evaluation.",
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
    """The folder holds train.safetensors and heldout.safetensors, each with `tokens` (contexts, context_length) int32
    and `first_row` (contexts,) int64, the dataset row in which the context begins.

    Every token is accounted for: document_tokens + joins + bos_tokens = stored + dropped, for each part.
    """

    contexts: int
    heldout_contexts: int
    documents: int
    heldout_documents: int
    empty_rows: int
    excluded_rows: int
    """Rows that the curator left out."""
    document_tokens: int
    """Tokens that the tokenizer made of the documents' text, both parts."""
    join_tokens: int
    """EOS tokens put between documents."""
    bos_tokens: int
    """First tokens put before each stored context."""
    dropped_tokens: int
    """Tokens of the last, incomplete context of each part."""
    bos_token_id: int | None
    eos_token_id: int | None
    vocab_size: int
    distinct_tokens: int
    tokenizer_sha256: str
    tokens_sha256: str
    bytes: int
    edited_rows: int = 0
    """Rows cut with the curator's text in place of their own."""
