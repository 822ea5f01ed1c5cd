"""Hook sites of a real model: which module, which side of it, how wide.

The one resolver behind capture, training, feature runs, steering and export. The vocabulary is in specs/hook_site.py;
how a model's blocks are read is in wiring.py. `mlp_in_pregain` has no module of its own: its point is the input of the
MLP's norm, and pregain.py computes it from there; what is put in its place goes to the MLP. A block has it only where
that norm has a gain.
"""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from workers.engine.hooks.probe import Place
from workers.engine.hooks.wiring import BlockWiring, model_wiring
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hook_site import SITES, HookSite
from workers.engine.specs.language_models import HookSiteWidth


@dataclass(frozen=True)
class HookPoint:
    """A hook site in one model: `module` is read or written on its `side`, "in" (first tensor of its arguments) or "out"
    (its output, or the first tensor of it)."""

    module: nn.Module
    path: str
    side: str
    width: int
    site: HookSite
    mlp: nn.Module | None = None
    """Of mlp_in_pregain alone: the MLP that reads what the norm `module` gives."""


def hook_point(model: PreTrainedModel, site: HookSite) -> HookPoint:
    """Find `site` in `model`. Raises EngineError "layer_out_of_range", or "no_such_site" with those there are."""
    wirings = model_wiring(model)
    if site.layer >= len(wirings):
        raise EngineError(
            f"Layer {site.layer} is out of range: the model has layers 0 to {len(wirings) - 1}.",
            "Choose a layer in that range.",
            code="layer_out_of_range",
        )
    wiring = wirings[site.layer]
    places = block_places(wiring)
    if site.site not in places:
        raise EngineError(
            f"{type(model).__name__} has no {site.site} in block {site.layer}.",
            f"There are: {', '.join(places)}.",
            code="no_such_site",
        )
    place = places[site.site]
    mlp = model.get_submodule(wiring.mlp_in.path) if site.site == "mlp_in_pregain" else None
    return HookPoint(model.get_submodule(place.path), place.path, place.side, place.width, site, mlp)


def hook_sites(model: PreTrainedModel) -> tuple[HookSiteWidth, ...]:
    """Every hook site of the model, by layer, then in the order of the vocabulary."""
    return tuple(
        HookSiteWidth(layer=layer, site=name, width=place.width, module=f"{place.path} {place.side}")
        for layer, wiring in enumerate(model_wiring(model))
        for name, place in block_places(wiring).items()
    )


def block_places(wiring: BlockWiring) -> dict[str, Place]:
    """The sites that one block has, in the order of the vocabulary."""
    block = wiring.block
    places = {
        "resid_pre": Place(block.path, "in", block.width),
        "resid_mid": wiring.resid_mid,
        "resid_post": block,
        "attn_z": wiring.attn_z,
        "attn_out": wiring.attn_out,
        "mlp_in": wiring.mlp_in,
        "mlp_in_pregain": wiring.mlp_norm,
        "mlp_out": wiring.mlp_out,
    }
    return {name: places[name] for name in SITES if places[name] is not None}
