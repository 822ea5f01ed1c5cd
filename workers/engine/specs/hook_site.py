"""Hook sites: the named places in a language model where activations are read and written.

One vocabulary for capture, training, feature runs, steering and export. `engine/hooks` resolves a site to a module of a
real model; this file only names them.
"""

import re
from dataclasses import dataclass

from workers.engine.specs.base import Record
from workers.engine.specs.errors import SpecInvalid

SITES: dict[str, str] = {
    "resid_pre": "residual stream entering the block",
    "resid_mid": "residual stream between attention and MLP",
    "resid_post": "residual stream leaving the block",
    "attn_z": "attention heads' outputs before the output projection, flat",
    "attn_out": "what attention adds to the residual stream",
    "mlp_in": "input of the MLP module, gain of its norm included",
    "mlp_in_pregain": "normalised input of the MLP before the norm's gain",
    "mlp_out": "what the MLP adds to the residual stream",
}


@dataclass(frozen=True, kw_only=True)
class HookSite(Record):
    """A place in a language model: `layer` counts blocks from 0, `site` is a key of SITES. Written "15.resid_post"."""

    layer: int
    site: str

    def __post_init__(self) -> None:
        if self.site not in SITES:
            raise SpecInvalid(f"There is no hook site {self.site!r}.", f"Known: {', '.join(SITES)}.", field="site")
        if self.layer < 0:
            raise SpecInvalid(f"Layer {self.layer} is below 0.", "Layers count from 0.", field="layer")

    def __str__(self) -> str:
        return f"{self.layer}.{self.site}"

    @classmethod
    def parse(cls, text: str) -> "HookSite":
        """The inverse of str(): "15.resid_post"."""
        found = re.fullmatch(r"(\d+)\.(\w+)", text)
        if not found:
            raise SpecInvalid(f"{text!r} is not a hook site.", "Write layer and site: 15.resid_post.", field="site")
        return cls(layer=int(found[1]), site=found[2])
