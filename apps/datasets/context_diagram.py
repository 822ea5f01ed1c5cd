"""A drawing of how documents come to lie in contexts: four short documents cut as a form says, scaled to 24 cells.

It follows the rules of workers/engine/datasets/packing.py on cells in place of tokens. Proportions are a sketch: the first
token and an end-of-text token are drawn as wide as a whole cell so that they can be seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CELLS = 24
"""Cells in a drawn context."""
DOCUMENTS = (("A", 15), ("B", 34), ("C", 8), ("D", 19))
"""Names and lengths in cells: one shorter than a context, one longer, one very short."""
MOST_ROWS = 7
CELL_PX, ROW_PX, LEFT_PX = 14, 28, 4


@dataclass(frozen=True)
class Segment:
    """Neighbouring cells of one kind: bos, eos, a to d (a document). `repeated`: stored before already."""

    kind: str
    start: int
    cells: int
    label: str = ""
    repeated: bool = False

    @property
    def x(self) -> int:
        return LEFT_PX + self.start * CELL_PX

    @property
    def width(self) -> int:
        return self.cells * CELL_PX

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass
class DrawnContext:
    """One line of the drawing."""

    number: int
    segments: list[Segment] = field(default_factory=list)
    is_dropped: bool = False

    @property
    def y(self) -> int:
        return 2 + self.number * ROW_PX


@dataclass(frozen=True)
class Diagram:
    """What templates/datasets/context_diagram.html draws."""

    rows: list[DrawnContext]
    words: str
    has_more: bool
    kinds: frozenset[str]
    has_repeated: bool

    @property
    def width(self) -> int:
        return 2 * LEFT_PX + CELLS * CELL_PX

    @property
    def height(self) -> int:
        return 4 + len(self.rows) * ROW_PX


def context_diagram(values: Mapping[str, Any]) -> Diagram:
    """The drawing for a form's values: context_length, packing, overflow, stride, prepend_bos, separate_documents."""
    stride = min(round(CELLS * values["stride"] / values["context_length"]), CELLS - 2) if values["stride"] else 0
    stride = max(stride, 1) if values["stride"] else 0
    bos = int(values["prepend_bos"])
    if values["packing"] == "packed":
        rows = _stream_cut(_joined(values["separate_documents"]), bos, stride, keeps_rest=False)
    else:
        rows = []
        for name, cells in DOCUMENTS:
            document = _stream_cut([name.lower()] * cells, bos, stride, keeps_rest=True)
            rows += document[:1] if values["overflow"] == "truncate" else document
        for number, row in enumerate(rows):
            row.number = number
    shown = rows[:MOST_ROWS]
    has_repeated = any(segment.repeated for row in shown for segment in row.segments)
    return Diagram(shown, diagram_words(values), len(rows) > MOST_ROWS, _kinds(shown), has_repeated)


def _kinds(rows: list[DrawnContext]) -> frozenset[str]:
    kinds = {segment.kind for row in rows for segment in row.segments}
    return frozenset(kinds | ({"dropped"} if any(row.is_dropped for row in rows) else set()))


def _joined(separate: bool) -> list[str]:
    """The stream of packed contexts, one kind for each cell."""
    stream: list[str] = []
    for place, (name, cells) in enumerate(DOCUMENTS):
        if separate and place:
            stream.append("eos")
        stream += [name.lower()] * cells
    return stream


def _stream_cut(stream: list[str], bos: int, stride: int, *, keeps_rest: bool) -> list[DrawnContext]:
    """Contexts over a stream; each repeats the last `stride` cells of the one before. An incomplete one at the end is
    marked as dropped unless `keeps_rest`."""
    rows: list[DrawnContext] = []
    room, at = CELLS - bos, 0
    while True:
        cells = stream[at : at + room]
        row = DrawnContext(len(rows), is_dropped=not keeps_rest and len(cells) < room)
        if bos:
            row.segments.append(Segment("bos", 0, 1))
        row.segments += _segments(cells, bos, stride if rows else 0)
        rows.append(row)
        if at + room >= len(stream):
            return rows
        at += room - stride


def _segments(cells: list[str], first: int, repeated: int) -> list[Segment]:
    """Runs of equal kind; the first `repeated` cells are marked."""
    found: list[Segment] = []
    start = 0
    for place in range(1, len(cells) + 1):
        ends = place == len(cells) or cells[place] != cells[start] or place == repeated
        if ends:
            kind = cells[start]
            label = kind.upper() if kind != "eos" else ""
            found.append(Segment(kind, first + start, place - start, label, repeated=start < repeated))
            start = place
    return found


def diagram_words(values: Mapping[str, Any]) -> str:
    """The drawing in words."""
    length = values["context_length"]
    if values["packing"] == "packed":
        joint = (
            "with an end-of-text token between two" if values["separate_documents"] else "without a mark between them"
        )
        said = f"Documents are joined {joint}, and cut into contexts of {length} tokens; the incomplete last one is dropped."
    elif values["overflow"] == "truncate":
        said = f"Each document is one context; what goes beyond {length} tokens is cut off."
    else:
        said = (
            f"Each document begins a context of its own; one longer than {length} tokens goes on in further contexts."
        )
    if values["prepend_bos"]:
        said += " Each context begins with the tokenizer's first token."
    if values["stride"]:
        said += f" A context repeats the last {values['stride']} tokens of the one before."
    return said
