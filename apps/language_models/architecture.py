"""The tree of a language model's modules as its page shows it: nested, with equal neighbours folded into one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from apps.language_models.models import LanguageModel


@dataclass(frozen=True)
class ModuleNode:
    """One module. `count` equal neighbours are one node; `parameters` are those of each, `share` of all together."""

    name: str
    path: str
    class_name: str
    shape: tuple[int, ...]
    dtype: str
    parameters: int
    share: float
    children: tuple["ModuleNode", ...] = field(default=())
    count: int = 1
    tied_to: str = ""
    """Path of the module whose weight this one uses too: it has no share of its own."""

    @property
    def form(self) -> tuple[Any, ...]:
        """What makes two modules equal: all but their names."""
        return (self.class_name, self.shape, self.dtype, self.parameters, *[child.form for child in self.children])


def module_tree(language_model: LanguageModel) -> ModuleNode | None:
    """The model's root module with all below it; None where the import wrote no modules."""
    rows = language_model.report.get("modules", [])
    return _node(rows, language_model.dtype, language_model.parameters or 1) if rows else None


def _node(rows: Sequence[dict[str, Any]], dtype: str, total: int) -> ModuleNode:
    """The module of the first row; the others are below it, depth first."""
    own, below = rows[0], rows[1:]
    tied_to = own.get("tied_to", "")
    child_depth = below[0]["depth"] if below else 0
    starts = [place for place, row in enumerate(below) if row["depth"] == child_depth]
    ends = [*starts[1:], len(below)]
    return ModuleNode(
        name=own["path"].rsplit(".", 1)[-1],
        path=own["path"],
        class_name=own["class"],
        shape=tuple(own["shape"] or ()),
        dtype=own.get("dtype") or dtype,
        parameters=own["parameters"],
        share=0.0 if tied_to else own["parameters"] / total,
        children=_folded([_node(below[start:end], dtype, total) for start, end in zip(starts, ends)]),
        tied_to=tied_to,
    )


def _folded(nodes: Sequence[ModuleNode]) -> tuple[ModuleNode, ...]:
    """Neighbours that differ in their number alone, such as the blocks, become one node: "0 to 29"."""
    folded: list[ModuleNode] = []
    for node in nodes:
        last = folded[-1] if folded else None
        if last is not None and node.name.isdecimal() and last.form == node.form:
            folded[-1] = replace(
                _added(last, node), name=f"{last.name.split(' ')[0]} to {node.name}", count=last.count + 1
            )
        else:
            folded.append(node)
    return tuple(folded)


def _added(node: ModuleNode, other: ModuleNode) -> ModuleNode:
    """The node with the share of an equal one, all the way down."""
    children = tuple(_added(child, twin) for child, twin in zip(node.children, other.children))
    return replace(node, share=node.share + other.share, children=children)
