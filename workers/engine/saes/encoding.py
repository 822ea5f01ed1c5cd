"""What an EncodeSpec asks of a finished SAE: its tensors, its normalisation of each token, what fires.

Equations and orientation are those of SAELens 6. Sae (sae.py) calls these; nothing here keeps weights.

Shapes: B tokens, D d_in, E d_out (D for autoencoders), F d_sae.
"""

from collections.abc import Mapping

from torch import Tensor

from workers.engine.specs.encode import TRANSCODERS, EncodeSpec
from workers.engine.specs.errors import BadArtifact

USUAL = ("W_enc", "b_enc", "W_dec", "b_dec")
TENSORS: dict[str, tuple[str, ...]] = {
    "standard": USUAL,
    "topk": USUAL,
    "jumprelu": (*USUAL, "threshold"),
    "gated": ("W_enc", "W_dec", "b_dec", "b_gate", "r_mag", "b_mag"),
    "transcoder": USUAL,
    "skip_transcoder": (*USUAL, "W_skip"),
}
"""The tensors of each inference architecture, by SAELens' names."""
GAUGED = ("b_enc", "threshold", "b_gate", "b_mag")
"""Vectors in the units of the latents: the decoder's norms fold into them. r_mag is the log of a ratio and has none."""
RUNTIME_NORMALIZATIONS = ("none", "constant_norm_rescale", "layer_norm")
LAYER_NORM_EPS = 1e-5
SMALLEST_NORM = 1e-8


def sae_check(spec: EncodeSpec, tensors: Mapping[str, Tensor | None]) -> None:
    """Raise BadArtifact for what cannot be computed here, and unless `tensors` are those of the architecture, in their
    shapes; None counts as missing."""
    _encode_spec_check(spec)
    D, E, F = spec.d_in, spec.width_out, spec.d_sae
    shapes = {"W_enc": (D, F), "W_dec": (F, E), "b_dec": (E,), "W_skip": (E, D)}
    expected, found = TENSORS[spec.architecture], [name for name, tensor in tensors.items() if tensor is not None]
    if set(found) != set(expected):
        raise BadArtifact(
            f"The SAE holds {', '.join(sorted(found))}; the architecture {spec.architecture} has "
            f"{', '.join(sorted(expected))}.",
            "The weights and their configuration do not belong together; take both from the same place.",
        )
    for name in expected:
        shape, expected_shape = tuple(tensors[name].shape), shapes.get(name, (F,))
        if shape != expected_shape:
            raise BadArtifact(
                f"The SAE's {name} has shape {shape}; d_in = {D}, d_out = {E} and d_sae = {F} ask for {expected_shape}.",
                "The weights and their configuration do not belong together; take both from the same place.",
            )


def normalized(x_BD: Tensor, how: str) -> Tensor:
    """Each token by itself brought to norm √D (constant_norm_rescale), or centred and scaled (layer_norm); else as it is.

    The standard deviation is the unbiased one. A token of zeros stays zeros, where SAELens divides by 0.
    """
    match how:
        case "constant_norm_rescale":
            return x_BD * _constant_norm_scale(x_BD)
        case "layer_norm":
            x_BD = x_BD - x_BD.mean(dim=-1, keepdim=True)
            return x_BD / (x_BD.std(dim=-1, keepdim=True) + LAYER_NORM_EPS)
    return x_BD


def denormalized(out_BD: Tensor, x_BD: Tensor, how: str) -> Tensor:
    """`out_BD`, in the units of normalized(x_BD), in those of x_BD. For layer_norm by the standard deviation alone,
    without the epsilon, as SAELens does."""
    rescaled_BD = rescaled(out_BD, x_BD, how)
    return rescaled_BD + x_BD.mean(dim=-1, keepdim=True) if how == "layer_norm" else rescaled_BD


def rescaled(step_BD: Tensor, x_BD: Tensor, how: str) -> Tensor:
    """Like `denormalized` for a difference of two outputs: scaled alike, without the mean that both have."""
    match how:
        case "constant_norm_rescale":
            return step_BD / _constant_norm_scale(x_BD)
        case "layer_norm":
            return step_BD * x_BD.std(dim=-1, keepdim=True)
    return step_BD


def jumped_(pre_BF: Tensor, threshold_F: Tensor) -> Tensor:
    """relu(p) where p > θ, strictly, else 0; overwrites p."""
    return pre_BF.masked_fill_(pre_BF <= threshold_F.clamp(min=0), 0)


def gated_(product_BF: Tensor, b_gate_F: Tensor, r_mag_F: Tensor, b_mag_F: Tensor) -> Tensor:
    """1[π > 0] · relu(m) with π = product + b_gate and m = product · exp(r_mag) + b_mag; overwrites the product."""
    is_shut_BF = product_BF <= -b_gate_F
    return product_BF.mul_(r_mag_F.exp()).add_(b_mag_F).relu_().masked_fill_(is_shut_BF, 0)


def _constant_norm_scale(x_BD: Tensor) -> Tensor:
    return x_BD.shape[-1] ** 0.5 / x_BD.norm(dim=-1, keepdim=True).clamp(min=SMALLEST_NORM)


def _encode_spec_check(spec: EncodeSpec) -> None:
    if spec.architecture not in TENSORS:
        raise BadArtifact(
            f"SAEs of the architecture {spec.architecture!r} cannot be used here.",
            f"Known architectures: {', '.join(TENSORS)}.",
        )
    if spec.architecture == "topk" and spec.k is None:
        raise BadArtifact("A TopK SAE without k cannot encode.", "Its configuration must say k.")
    if spec.normalize_activations not in RUNTIME_NORMALIZATIONS:
        raise BadArtifact(
            f"The SAE expects activations scaled by {spec.normalize_activations}, a factor that it does not carry.",
            "Fold the factor into the weights when training ends (SAELens does), then take that SAE.",
        )
    if spec.architecture in TRANSCODERS and spec.apply_b_dec_to_input:
        raise BadArtifact(
            "A transcoder's b_dec belongs to its output and cannot be subtracted from its input.",
            "Its configuration must say apply_b_dec_to_input: false.",
        )
