"""Specs of datasets: asking the Hub about one, and bringing rows of text in."""

from dataclasses import dataclass
from typing import Any, ClassVar

from workers.engine.specs.base import Inputs, Record, Result, Spec, option
from workers.engine.specs.errors import SpecInvalid

DATASET_SOURCES = (
    ("hub", "Hugging Face Hub"),
    ("file", "Local file or folder"),
    ("upload", "Upload from this computer"),
)
FILE_FORMATS = (".txt", ".jsonl", ".json", ".csv", ".tsv", ".parquet")


def is_named_like_an_id(column: str) -> bool:
    """Whether a column's name speaks of identifiers rather than of text."""
    name = column.lower()
    return name == "id" or name.endswith(("_id", "id_", "hash", "url"))


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
    revision: str = option(
        "",
        label="Revision",
        only_for=("source", ("hub",)),
        advanced=True,
        help="Branch, tag or commit; empty: the default branch.",
    )
    streaming: bool = option(
        True,
        label="Stream",
        only_for=("source", ("hub",)),
        help="Fetch only the rows that are kept. Off: whole files are downloaded first, checked, then read.",
    )
    path: str = option(
        "",
        label="Path",
        only_for=("source", ("file",)),
        is_path=True,
        is_needed=True,
        help="A .txt (one document per paragraph), .jsonl, .json, .csv, .tsv or .parquet file on the studio's machine.",
    )
    upload: str = option(
        "",
        label="File",
        only_for=("source", ("upload",)),
        pattern=r"|[0-9a-f]{32}\.[a-z]+",
        is_needed=True,
        help="A .txt (one document per paragraph), .jsonl, .json, .csv, .tsv or .parquet file, sent by the browser or the API.",
    )
    text_column: str = option(
        "",
        label="Text column",
        help="Column with the text; empty: a column of conversations, text, content, else the first string column.",
    )
    row_cap: int | None = option(
        100_000,
        label="Most rows",
        minimum=1,
        maximum=10**12,
        help="Stop after so many rows; empty takes all.",
        unit="rows",
    )

    def check(self) -> None:
        if self.source == "hub" and not self.repo_id:
            raise SpecInvalid("No repository was named.", "Give an id such as roneneldan/TinyStories.", field="repo_id")
        if self.source == "file" and not self.path:
            raise SpecInvalid("No file was named.", "Give the path of a file on the studio's machine.", field="path")
        if self.source == "upload" and not self.upload:
            raise SpecInvalid("No file was sent.", "Choose a file to upload.", field="upload")


@dataclass(frozen=True, kw_only=True)
class DatasetImportInputs(Inputs):
    """`path` is the checked absolute path of a local or uploaded source; empty for the Hub. The token comes by
    environment. What arrives is kept in `job_dir`/download until the import succeeds, so that a retry goes on there."""

    path: str = ""


@dataclass(frozen=True, kw_only=True)
class ColumnHistogram(Record):
    """How the values of one column are distributed; a click on a bar filters the rows by it."""

    column: str
    kind: str
    """"number" (bins between `edges`), "length" (characters of a text, bins between `edges`) or "value" (`values`)."""
    edges: tuple[float, ...] = ()
    """Bin borders, one more than `counts`; a bin holds its left border, the last one both."""
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    nulls: int = 0


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
    is_conversation: bool = False
    """The text column holds conversations: lists of turns with a role and a content."""
    histograms: tuple[ColumnHistogram, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DatasetLookupSpec(Spec):
    """Ask the Hub what a dataset is, before anything of it is imported: size, licence, splits, first rows."""

    KIND: ClassVar[str] = "dataset_lookup"
    QUEUE: ClassVar[str] = "io"
    TITLE: ClassVar[str] = "Look up dataset"
    PASSING: ClassVar[bool] = True
    ENGINE: ClassVar[str] = "datasets.hub_lookup:dataset_lookup"

    repo_id: str = option(
        label="Repository", help="Id on the Hub such as roneneldan/TinyStories, or the address of its page."
    )
    config: str = option("", label="Configuration", help="Subset of the repository; empty: the default.")
    split: str = option("", label="Split", help="train, validation, test, …; empty: train, else the first.")
    revision: str = option(
        "", label="Revision", advanced=True, help="Branch, tag or commit; empty: the default branch."
    )


@dataclass(frozen=True, kw_only=True)
class DatasetLookupInputs(Inputs):
    """Nothing lies on this machine; the token comes by environment."""


@dataclass(frozen=True, kw_only=True)
class SplitSize(Record):
    """One split as the Hub describes it; None where it does not say."""

    name: str
    rows: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class DatasetLookupResult(Result):
    """What the Hub says of a dataset, and its first rows. `text_column` is "" when no column holds text."""

    repo_id: str
    revision: str
    licence: str
    gated: bool
    configs: tuple[str, ...]
    config: str
    """The configuration that the rest is about; "" when the repository has but one."""
    splits: tuple[SplitSize, ...]
    split: str
    bytes: int
    """Size of the data files of that configuration on the Hub."""
    columns: tuple[str, ...]
    column_types: tuple[str, ...]
    text_column: str
    is_conversation: bool
    first_rows: tuple[dict[str, Any], ...]
    """Up to five rows, every value as text of at most 300 characters."""
    text_bytes_per_row: float
    """Mean UTF-8 bytes of the text column over up to 100 first rows: what a size estimate rests on."""
