"""Sae: a finished sparse autoencoder in memory, for evaluation, feature runs, steering and export.

Orientation and equations are those of SAELens 6 (`StandardSAE`, `TopKSAE`):

    x' = norm_in(x) - b_dec·[apply_b_dec_to_input]
    p  = x' W_enc + b_enc                     (× ‖W_dec row‖ when rescale_acts_by_decoder_norm)
    f  = relu(p)                              standard
    f  = relu of the k largest p, others 0    topk
    x̂  = norm_out(f W_dec + b_dec)            (f / ‖W_dec row‖ first when rescale_acts_by_decoder_norm)

Nothing is trained here; see base.py for the training side. The EncodeSpec decides everything beyond the weights.

Shapes: B tokens, D d_in, F d_sae, K k, N fired (token, latent) pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.errors import BadArtifact

INFERENCE_ARCHITECTURES = ("standard", "topk")
RUNTIME_NORMALIZATIONS = ("none", "constant_norm_rescale", "layer_norm")
DENSE_ELEMENTS = 2**25
"""Largest dense (rows, F) block that the sparse encoder makes at once: 128 MB in float32."""
LAYER_NORM_EPS = 1e-5
SMALLEST_NORM = 1e-8


@dataclass(frozen=True)
class SparseLatents:
    """What fired, as triplets ordered by token, then latent; the same form for every architecture.

    `token_N` and `latent_N` are int64, `value_N` float32 and above 0. A token where nothing fired has no triplet.
    """

    token_N: Tensor
    latent_N: Tensor
    value_N: Tensor
    tokens: int
    d_sae: int

    def dense(self) -> Tensor:
        """The same latents as (B, F) float32."""
        f_BF = torch.zeros(self.tokens, self.d_sae, device=self.value_N.device)
        f_BF[self.token_N, self.latent_N] = self.value_N
        return f_BF

    def counts(self) -> Tensor:
        """How often each latent fired: (F,) int64."""
        return torch.bincount(self.latent_N, minlength=self.d_sae)


@dataclass(frozen=True)
class Sae:
    """Float32 weights on one device: W_enc (D, F), b_enc (F,), W_dec (F, D), b_dec (D,). Wrong shapes: BadArtifact."""

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    encode_spec: EncodeSpec

    def __post_init__(self) -> None:
        spec = self.encode_spec
        _check_expressible(spec)
        D, F = spec.d_in, spec.d_sae
        for name, shape in {"W_enc": (D, F), "b_enc": (F,), "W_dec": (F, D), "b_dec": (D,)}.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise BadArtifact(
                    f"The SAE's {name} has shape {found}; d_in = {D} and d_sae = {F} ask for {shape}.",
                    "The weights and their configuration do not belong together; take both from the same place.",
                )

    def to(self, device: str | torch.device) -> "Sae":
        """The same SAE on `device`."""
        moved = {name: getattr(self, name).to(device) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
        return replace(self, **moved)

    @cached_property
    def decoder_norm_F(self) -> Tensor:
        """‖W_dec row‖ of each latent."""
        return self.W_dec.norm(dim=-1)

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> Tensor:
        """Latents f (B, F) in float32 of activations in any floating dtype; leading dimensions are kept."""
        pre_BF = self._pre_activations(x_BD)
        if self.encode_spec.architecture == "standard":
            return pre_BF.relu_()
        values_BK, indices_BK = pre_BF.topk(self.encode_spec.k, dim=-1, sorted=False)
        return torch.zeros_like(pre_BF).scatter_(-1, indices_BK, values_BK.relu_())

    @torch.no_grad()
    def encode_sparse(self, x_BD: Tensor) -> SparseLatents:
        """Only what fires, without ever holding a dense (B, F): memory grows with the fired pairs."""
        tokens, latents, values = [], [], []
        for start, block_BD in self._blocks(x_BD):
            token_N, latent_N, value_N = self._fired(block_BD)
            tokens.append(token_N + start)
            latents.append(latent_N)
            values.append(value_N)
        return SparseLatents(
            torch.cat(tokens), torch.cat(latents), torch.cat(values), len(x_BD), self.encode_spec.d_sae
        )

    @torch.no_grad()
    def decode(self, f_BF: Tensor, x_BD: Tensor | None = None) -> Tensor:
        """Reconstruction x̂ (B, D) in float32.

        `x_BD`, the activations that f came from, is needed only by an SAE that normalises each token
        (constant_norm_rescale, layer_norm): their scale is not in f.
        """
        if self.encode_spec.rescale_acts_by_decoder_norm:
            f_BF = f_BF * (1 / self.decoder_norm_F)
        return self._denormalized(f_BF @ self.W_dec + self.b_dec, x_BD)

    @torch.no_grad()
    def reconstruct(self, x_BD: Tensor) -> Tensor:
        """x̂ (B, D) = decode(encode(x)), in blocks that bound the memory."""
        blocks = [self.decode(self.encode(block_BD), block_BD) for _, block_BD in self._blocks(x_BD)]
        return torch.cat(blocks)

    @torch.no_grad()
    def with_unit_decoder(self) -> "Sae":
        """The same function in the unit gauge: decoder rows of length 1, their norms folded into W_enc and b_enc.

        Latents of a standard SAE grow by the old norm; those of a TopK SAE with rescale_acts_by_decoder_norm already
        have it. Without that flag the norms decide nothing and folding would change the choice: returned as it is.
        """
        spec = self.encode_spec
        if spec.architecture == "topk" and not spec.rescale_acts_by_decoder_norm:
            return self
        norm_F = self.decoder_norm_F.clamp(min=SMALLEST_NORM)
        return replace(self, W_enc=self.W_enc * norm_F, b_enc=self.b_enc * norm_F, W_dec=self.W_dec / norm_F[:, None])

    def _blocks(self, x_BD: Tensor) -> Iterator[tuple[int, Tensor]]:
        rows = max(1, DENSE_ELEMENTS // self.encode_spec.d_sae)
        for start in range(0, max(len(x_BD), 1), rows):
            yield start, x_BD[start : start + rows]

    def _fired(self, x_BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pre_BF = self._pre_activations(x_BD)
        if self.encode_spec.architecture == "standard":
            token_N, latent_N = (pre_BF > 0).nonzero(as_tuple=True)
            return token_N, latent_N, pre_BF[token_N, latent_N]
        indices_BK = pre_BF.topk(self.encode_spec.k, dim=-1, sorted=False).indices.sort(dim=-1).values
        values_BK = pre_BF.gather(-1, indices_BK)
        token_N, place_N = (values_BK > 0).nonzero(as_tuple=True)
        return token_N, indices_BK[token_N, place_N], values_BK[token_N, place_N]

    def _pre_activations(self, x_BD: Tensor) -> Tensor:
        if x_BD.shape[-1] != self.encode_spec.d_in:
            raise BadArtifact(
                f"The SAE reads activations of width {self.encode_spec.d_in}; these have {x_BD.shape[-1]}.",
                "Use the SAE at the hook site of the language model it was trained on.",
            )
        x_BD = self._normalized(x_BD.to(self.W_enc.dtype))
        if self.encode_spec.apply_b_dec_to_input:
            x_BD = x_BD - self.b_dec
        pre_BF = x_BD @ self.W_enc + self.b_enc
        if self.encode_spec.rescale_acts_by_decoder_norm:
            pre_BF = pre_BF * self.decoder_norm_F
        return pre_BF

    def _normalized(self, x_BD: Tensor) -> Tensor:
        match self.encode_spec.normalize_activations:
            case "constant_norm_rescale":
                return x_BD * (self.encode_spec.d_in**0.5 / x_BD.norm(dim=-1, keepdim=True))
            case "layer_norm":
                x_BD = x_BD - x_BD.mean(dim=-1, keepdim=True)
                return x_BD / (x_BD.std(dim=-1, keepdim=True) + LAYER_NORM_EPS)
        return x_BD

    def _denormalized(self, out_BD: Tensor, x_BD: Tensor | None) -> Tensor:
        how = self.encode_spec.normalize_activations
        if how == "none":
            return out_BD
        if x_BD is None:
            raise ValueError(f"decode needs the activations: this SAE normalises each token ({how}).")
        x_BD = x_BD.to(out_BD.dtype)
        if how == "constant_norm_rescale":
            return out_BD / (self.encode_spec.d_in**0.5 / x_BD.norm(dim=-1, keepdim=True))
        return out_BD * x_BD.std(dim=-1, keepdim=True) + x_BD.mean(dim=-1, keepdim=True)


def _check_expressible(spec: EncodeSpec) -> None:
    if spec.architecture not in INFERENCE_ARCHITECTURES:
        raise BadArtifact(
            f"SAEs of the architecture {spec.architecture!r} cannot be used here.",
            f"Known architectures: {', '.join(INFERENCE_ARCHITECTURES)}.",
        )
    if spec.architecture == "topk" and spec.k is None:
        raise BadArtifact("A TopK SAE without k cannot encode.", "Its configuration must say k.")
    if spec.normalize_activations not in RUNTIME_NORMALIZATIONS:
        raise BadArtifact(
            f"The SAE expects activations scaled by {spec.normalize_activations}, a factor that it does not carry.",
            "Fold the factor into the weights when training ends (SAELens does), then take that SAE.",
        )
