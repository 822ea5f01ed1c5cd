"""Sae: a finished sparse autoencoder or transcoder in memory, for evaluation, feature runs, steering and export.

Orientation and equations are those of SAELens 6:

    x' = norm_in(x) - b_dec·[apply_b_dec_to_input]
    p  = x' W_enc + b_enc                     (× ‖W_dec row‖ when rescale_acts_by_decoder_norm)
    f  = relu(p)                              standard, transcoder, skip_transcoder
    f  = relu of the k largest p, others 0    topk
    f  = relu(p) where p > threshold, else 0  jumprelu
    f  = 1[x' W_enc + b_gate > 0] · relu(x' W_enc · exp(r_mag) + b_mag)    gated
    x̂  = norm_out(f W_dec + b_dec)            (f / ‖W_dec row‖ first when rescale_acts_by_decoder_norm)
    ŷ  = f W_dec + b_dec (+ x W_skipᵀ)        transcoder, skip_transcoder: no norm_out, the skip reads x itself

Nothing is trained here; see base.py for the training side. The EncodeSpec decides everything beyond the weights.

Shapes: B tokens, C tokens of a chunk, D d_in, E d_out (D for autoencoders), F d_sae, K k, N fired (token, latent) pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from workers.engine.saes.encoding import (
    GAUGED,
    SMALLEST_NORM,
    TENSORS,
    denormalized,
    gated_,
    jumped_,
    normalized,
    rescaled,
    sae_check,
)
from workers.engine.saes.exact import Candidates, ExactEncoder
from workers.engine.saes.sparse_rows import places_of_true, rows_for
from workers.engine.specs.encode import DENSE_ELEMENTS, TRANSCODERS, EncodeSpec
from workers.engine.specs.errors import BadArtifact

ALL = slice(None)


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
    """Float32 weights on one device. What its architecture lacks is None; wrong tensors or shapes raise BadArtifact.

    W_enc (D, F), b_enc (F,), W_dec (F, E), b_dec (E,); jumprelu: threshold (F,); gated: b_gate, r_mag, b_mag (F,) in
    place of b_enc; skip_transcoder: W_skip (E, D).
    """

    W_enc: Tensor
    b_enc: Tensor | None
    W_dec: Tensor
    b_dec: Tensor
    encode_spec: EncodeSpec
    threshold: Tensor | None = None
    b_gate: Tensor | None = None
    r_mag: Tensor | None = None
    b_mag: Tensor | None = None
    W_skip: Tensor | None = None

    def __post_init__(self) -> None:
        named = {name for names in TENSORS.values() for name in names}
        sae_check(self.encode_spec, {name: getattr(self, name) for name in sorted(named)})

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of its architecture, by SAELens' names."""
        return {name: getattr(self, name) for name in TENSORS[self.encode_spec.architecture]}

    def to(self, device: str | torch.device) -> "Sae":
        """The same SAE on `device`."""
        return replace(self, **{name: tensor.to(device) for name, tensor in self.tensors.items()})

    @cached_property
    def decoder_norm_F(self) -> Tensor:
        """‖W_dec row‖ of each latent."""
        return self.W_dec.norm(dim=-1)

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> Tensor:
        """Latents f (B, F) in float32 of activations in any floating dtype; leading dimensions are kept."""
        pre_BF = self._pre_activations(x_BD)
        if self.encode_spec.architecture != "topk":
            return self._activated_(pre_BF)
        values_BK, indices_BK = pre_BF.topk(self.encode_spec.k, dim=-1, sorted=False)
        return torch.zeros_like(pre_BF).scatter_(-1, indices_BK, values_BK.relu_())

    @torch.no_grad()
    def encode_sparse(self, x_BD: Tensor) -> SparseLatents:
        """Only what fires, without ever holding all of the dense (B, F): memory grows with the fired pairs.

        The latents of `encode`, free of its product's rounding: pre-activations are exact, rounded once to float32
        (exact.py), and of values that equal a TopK SAE's k-th the lower latents fire. The same bits on every machine.
        """
        read_BD = self._read(x_BD)
        found = [(first, *self._fired(candidates)) for first, candidates in self._candidates(read_BD)]
        none = torch.empty(0, dtype=torch.long, device=x_BD.device)
        return SparseLatents(
            token_N=torch.cat([none, *(first + token_N for first, token_N, _, _ in found)]),
            latent_N=torch.cat([none, *(latent_N for _, _, latent_N, _ in found)]),
            value_N=torch.cat([none.float(), *(value_N for _, _, _, value_N in found)]),
            tokens=len(x_BD),
            d_sae=self.encode_spec.d_sae,
        )

    @torch.no_grad()
    def decode(self, f_BF: Tensor, x_BD: Tensor | None = None) -> Tensor:
        """What the latents say: x̂ (B, D), or ŷ (B, E) without the skip, in float32.

        `x_BD`, the activations that f came from, is needed only by an autoencoder that normalises each token
        (constant_norm_rescale, layer_norm): their scale is not in f.
        """
        spec = self.encode_spec
        if spec.rescale_acts_by_decoder_norm:
            f_BF = f_BF * (1 / self.decoder_norm_F)
        out_BE = f_BF @ self.W_dec + self.b_dec
        if spec.architecture in TRANSCODERS or spec.normalize_activations == "none":
            return out_BE
        if x_BD is None:
            raise ValueError(
                f"decode needs the activations: this SAE normalises each token ({spec.normalize_activations})."
            )
        return denormalized(out_BE, x_BD.to(out_BE.dtype), spec.normalize_activations)

    @torch.no_grad()
    def contribution(self, latent: int, f_B: Tensor, x_BD: Tensor) -> Tensor:
        """What one latent with activations `f_B` adds to decode(f, x): (B, E) float32, zeros where f is 0. It belongs to the
        site that the SAE answers."""
        spec = self.encode_spec
        if spec.rescale_acts_by_decoder_norm:
            f_B = f_B / self.decoder_norm_F[latent]
        out_BE = f_B[:, None] * self.W_dec[latent]
        if spec.architecture in TRANSCODERS:
            return out_BE
        return rescaled(out_BE, x_BD.to(out_BE.dtype), spec.normalize_activations)

    @torch.no_grad()
    def reconstruct(self, x_BD: Tensor) -> Tensor:
        """x̂ (B, D) = decode(encode(x)), in blocks that bound the memory.

        A transcoder reads x at `hook_site` and answers ŷ (B, E) for `hook_site_out`, its skip included.
        """
        return torch.cat([self._answer(block_BD) for _, block_BD in self._blocks(x_BD)])

    @torch.no_grad()
    def with_unit_decoder(self) -> "Sae":
        """The same function in the unit gauge: decoder rows of length 1, their norms folded into the encoder.

        Latents grow by the old norm, thresholds and biases of gates with them; latents of a TopK SAE with
        rescale_acts_by_decoder_norm already have it. Without that flag the norms decide nothing and folding would change
        the choice: returned as it is.
        """
        spec = self.encode_spec
        if spec.architecture == "topk" and not spec.rescale_acts_by_decoder_norm:
            return self
        norm_F = self.decoder_norm_F.clamp(min=SMALLEST_NORM)
        vectors = {name: tensor * norm_F for name, tensor in self.tensors.items() if name in GAUGED}
        return replace(self, W_enc=self.W_enc * norm_F, W_dec=self.W_dec / norm_F[:, None], **vectors)

    def _blocks(self, x_BD: Tensor) -> Iterator[tuple[int, Tensor]]:
        rows = max(1, DENSE_ELEMENTS // self.encode_spec.d_sae)
        for start in range(0, max(len(x_BD), 1), rows):
            yield start, x_BD[start : start + rows]

    def _answer(self, x_BD: Tensor) -> Tensor:
        out_BE = self.decode(self.encode(x_BD), x_BD)
        return out_BE if self.W_skip is None else out_BE + x_BD.to(self.W_skip.dtype) @ self.W_skip.T

    @cached_property
    def _encoder(self) -> ExactEncoder:
        bias_F = torch.zeros_like(self.decoder_norm_F) if self.b_enc is None else self.b_enc
        return ExactEncoder(self.W_enc.T, bias_F, rows_for(self.W_enc.device))

    def _candidates(self, read_BD: Tensor) -> Iterator[tuple[int, Candidates]]:
        """What may fire, chunk by chunk."""
        if self.encode_spec.architecture == "topk":
            return self._encoder.largest(read_BD, self._scale_F, self.encode_spec.k)
        floor_F = torch.zeros_like(self.decoder_norm_F)
        if self.encode_spec.architecture == "jumprelu":
            floor_F = self.threshold.clamp(min=0)
        elif self.encode_spec.architecture == "gated":
            floor_F = -self.b_gate
        # p · scale > floor, with room for the rounding of both
        floor_F = (floor_F - floor_F.abs() * 2.0**-20) / self._scale_F
        return self._encoder.above(read_BD, floor_F)

    def _fired(self, candidates: Candidates) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, latents and values of the candidates that fire. NaN does not fire."""
        token_N, latent_N, p_N = candidates
        f_N = self._activated_(p_N * self._scale_F[latent_N], latent_N)
        fired_N = places_of_true(f_N > 0)
        token_N, latent_N, f_N = token_N[fired_N], latent_N[fired_N], f_N[fired_N]
        if self.encode_spec.architecture == "topk":
            largest_N = self._encoder.rows.largest(token_N, f_N, self.encode_spec.k)
            token_N, latent_N, f_N = token_N[largest_N], latent_N[largest_N], f_N[largest_N]
        return token_N, latent_N, f_N

    @cached_property
    def _scale_F(self) -> Tensor:
        """What pre-activations are multiplied by."""
        return (
            self.decoder_norm_F
            if self.encode_spec.rescale_acts_by_decoder_norm
            else torch.ones_like(self.decoder_norm_F)
        )

    def _activated_(self, pre_BF: Tensor, latents: Tensor | slice = ALL) -> Tensor:
        """f before TopK's choice, in place of the pre-activations of these latents."""
        match self.encode_spec.architecture:
            case "jumprelu":
                return jumped_(pre_BF, self.threshold[latents])
            case "gated":
                return gated_(pre_BF, self.b_gate[latents], self.r_mag[latents], self.b_mag[latents])
        return pre_BF.relu_()

    def _pre_activations(self, x_BD: Tensor) -> Tensor:
        """p (B, F); gated: x' W_enc, to which each path adds its own bias."""
        pre_BF = self._read(x_BD) @ self.W_enc
        if self.b_enc is not None:
            pre_BF += self.b_enc
        if self.encode_spec.rescale_acts_by_decoder_norm:
            pre_BF = pre_BF * self.decoder_norm_F
        return pre_BF

    def _read(self, x_BD: Tensor) -> Tensor:
        """x' (B, D): what the encoder multiplies."""
        if x_BD.shape[-1] != self.encode_spec.d_in:
            raise BadArtifact(
                f"The SAE reads activations of width {self.encode_spec.d_in}; these have {x_BD.shape[-1]}.",
                "Use the SAE at the hook site of the language model it was trained on.",
            )
        x_BD = normalized(x_BD.to(self.W_enc.dtype), self.encode_spec.normalize_activations)
        return x_BD - self.b_dec if self.encode_spec.apply_b_dec_to_input else x_BD
