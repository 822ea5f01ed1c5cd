"""Names of hook sites in other people's words: TransformerLens hook names, as SAELens writes them in cfg.json.

`resid_post` of a block may also be named by the block's module path in Hugging Face models ("model.layers.20.output").
Which module of a real model a site is, is decided in engine/hooks, not here.
"""

import re

from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.hook_site import HookSite

TRANSFORMER_LENS = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_z": "attn.hook_z",
    "attn_out": "hook_attn_out",
    "mlp_in": "mlp.hook_in",
    "mlp_in_pregain": "ln2.hook_normalized",
    "mlp_out": "hook_mlp_out",
}
READ_ALSO = {"hook_mlp_in": "resid_mid"}
"""TransformerLens' hook_mlp_in is the residual stream before the MLP's norm."""
HF_BLOCK = re.compile(r"(?:[a-z_]+\.)*(?:layers|h|blocks)\.(\d+)(?:\.output)?")


def hook_name_of(site: HookSite) -> str:
    """The TransformerLens name: 15.resid_post is "blocks.15.hook_resid_post"."""
    return f"blocks.{site.layer}.{TRANSFORMER_LENS[site.site]}"


def hook_site_of(hook_name: str) -> HookSite:
    """The inverse of `hook_name_of`; also reads a block's module path. Unknown names raise BadArtifact."""
    known = {name: site for site, name in TRANSFORMER_LENS.items()} | READ_ALSO
    if (found := re.fullmatch(r"blocks\.(\d+)\.(.+)", hook_name)) and found[2] in known:
        return HookSite(layer=int(found[1]), site=known[found[2]])
    if found := HF_BLOCK.fullmatch(hook_name):
        return HookSite(layer=int(found[1]), site="resid_post")
    raise BadArtifact(
        f"The SAE's hook {hook_name!r} is none that this studio knows.",
        f"Known: blocks.<layer>. followed by {', '.join(known)}.",
    )
