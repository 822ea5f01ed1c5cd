"""The drawing of one block: the residual stream runs down at the left, attention and MLP read from it and add to it.

Positions are in CSS pixels of an inline SVG; the template draws what stands here.
"""

from dataclasses import dataclass

from apps.language_models.hook_sites import LayerSites, SiteThere

ROW = 38
TOP = 4
GAP = 2
"""Lines between rows run so far above the next one, in the middle between two nodes."""
NODE_HEIGHT = 26
STREAM_X, STREAM_WIDTH = 4, 136
BRANCH_X, BRANCH_WIDTH = 176, 154
MIDDLE = STREAM_X + STREAM_WIDTH // 2
WIDTH = BRANCH_X + BRANCH_WIDTH + 10
STREAM = ("resid_pre", "resid_mid", "resid_post")
BRANCHES = (("attn_z", "attn_out"), ("mlp_in_pregain", "mlp_in", "mlp_out"))


@dataclass(frozen=True)
class Node:
    """One clickable hook site; x and y are those of its upper left corner."""

    there: SiteThere
    x: int
    y: int
    width: int
    height: int = NODE_HEIGHT

    @property
    def text_x(self) -> int:
        return self.x + self.width // 2

    @property
    def text_y(self) -> int:
        return self.y + 17

    @property
    def mark_x(self) -> int:
        """Centre of the count at the upper right corner."""
        return self.x + self.width - 4


@dataclass(frozen=True)
class Drawing:
    """A block's size, the lines as one SVG path, the places where a branch adds to the stream, and the nodes."""

    width: int
    height: int
    lines: str
    sums: tuple[int, ...]
    """y of each ⊕ on the stream."""
    nodes: tuple[Node, ...]
    middle: int = MIDDLE


def block_drawing(layer: LayerSites) -> Drawing:
    """Draw the sites that the layer has, one a row, in the order of the forward pass."""
    has = {site.site: site for site in layer.sites}
    nodes: list[Node] = []
    branches: list[tuple[int, int]] = []
    for stream_site, branch in zip(STREAM, (*BRANCHES, ())):
        nodes += _placed(has, (stream_site,), len(nodes), STREAM_X, STREAM_WIDTH)
        first = len(nodes)
        nodes += _placed(has, branch, first, BRANCH_X, BRANCH_WIDTH)
        if len(nodes) > first:
            branches.append((first * ROW - GAP, len(nodes) * ROW - GAP))
    height = len(nodes) * ROW + 10
    start = branches[0][0] if "resid_mid" not in has and branches else None
    lines = [f"M{MIDDLE} 0V{height}", *[_branch_line(top, bottom, start) for top, bottom in branches]]
    return Drawing(WIDTH, height, " ".join(lines), tuple(bottom for _, bottom in branches), tuple(nodes))


def _placed(has: dict[str, SiteThere], sites: tuple[str, ...], row: int, x: int, width: int) -> list[Node]:
    there = [has[site] for site in sites if site in has]
    return [Node(site, x, (row + place) * ROW + TOP, width) for place, site in enumerate(there)]


def _branch_line(top: int, bottom: int, start: int | None) -> str:
    """From the stream to the right, down behind the branch's nodes, and back to the stream.

    With `start` all branches read the stream at that height: attention and MLP side by side.
    """
    centre, outside = BRANCH_X + BRANCH_WIDTH // 2, BRANCH_X + BRANCH_WIDTH + 6
    leave = f"M{MIDDLE} {top}H{centre}"
    if start is not None and start != top:
        leave = f"M{MIDDLE} {start}H{outside}V{top}H{centre}"
    return f"{leave}V{bottom}H{MIDDLE + 6}"
