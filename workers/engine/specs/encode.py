"""EncodeSpec: an SAE's way of encoding, stored beside its weights and never changed.

Whoever encodes (evaluation, feature runs, steering, export) reads this; nothing is calibrated at inference.
"""

from dataclasses import dataclass

from workers.engine.specs.base import Record
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.hook_site import HookSite

NORMALIZATIONS = ("none", "expected_average_only_in", "constant_norm_rescale", "layer_norm")
TRANSCODERS = ("transcoder", "skip_transcoder")
"""Architectures that answer another site than they read, or could: b_dec and W_dec are as wide as the answer."""
DENSE_ELEMENTS = 2**25
"""Largest dense (rows, F) block that a reconstruction makes at once: 128 MB in float32."""


@dataclass(frozen=True, kw_only=True)
class EncodeSpec(Record):
    """Everything beyond the weights that decides f(x). Names follow SAELens' cfg.json (6.x)."""

    architecture: str
    """standard | topk | jumprelu | gated | transcoder | skip_transcoder: inference architectures of SAELens. BatchTopK and
    Matryoshka end as jumprelu, a Skip SAE as a skip_transcoder whose two sites are one."""
    d_in: int
    d_sae: int
    hook_site: HookSite
    apply_b_dec_to_input: bool = True
    normalize_activations: str = "none"
    """A finished SAE has the expected-average factor folded into its weights, so it says none."""
    k: int | None = None
    """TopK: latents that fire at most."""
    rescale_acts_by_decoder_norm: bool = False
    """TopK: selection and values by pre-activation × decoder norm, as SAELens has it."""
    sink_threshold: float | None = None
    """Tokens with a larger norm, and position 0, are passed by: never encoded, measured or replaced."""
    excluded_tokens: tuple[int, ...] = ()
    """Ids of special tokens that are passed by in the same way; empty where they are read as any other token."""
    d_out: int | None = None
    """Transcoders: width of what they answer; None for autoencoders."""
    hook_site_out: HookSite | None = None
    """Transcoders: the site whose activations they answer; None for autoencoders."""
    dtype: str = "float32"

    @property
    def width_out(self) -> int:
        """Width of the reconstruction: d_out for transcoders, else d_in."""
        return self.d_out or self.d_in

    @property
    def site_out(self) -> HookSite:
        """The site that the reconstruction belongs to: another than `hook_site` for transcoders."""
        return self.hook_site_out or self.hook_site

    @property
    def is_transcoder(self) -> bool:
        """Whether the reconstruction belongs to another site than the one read."""
        return self.site_out != self.hook_site

    def __post_init__(self) -> None:
        if self.normalize_activations not in NORMALIZATIONS:
            raise SpecInvalid(
                f"Normalisation {self.normalize_activations!r} is unknown.", f"Known: {', '.join(NORMALIZATIONS)}."
            )
        if self.k is not None and self.k > self.d_sae:
            raise SpecInvalid(f"k = {self.k} exceeds d_sae = {self.d_sae}.", "Choose k below d_sae.", field="k")
