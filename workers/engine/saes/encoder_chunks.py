"""Pre-activations of a batch, chunk by chunk in one buffer: no (B, F) matrix is ever whole.

Shapes: B tokens, C tokens of a chunk, D d_in, F d_sae.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK_ELEMENTS = {"cpu": 2**22}
"""Pre-activations in a chunk. Each chunk's product arranges all weights anew: smaller ones cost 15 % more."""
CHUNK_ELEMENTS_ELSEWHERE = 2**26
SMALLEST_CHUNK = 128


def chunk_tokens(x_BD: Tensor, latents: int) -> int:
    """How many tokens of the batch make a chunk when this many latents are worked on; the chunks are about equal."""
    elements = CHUNK_ELEMENTS.get(x_BD.device.type, CHUNK_ELEMENTS_ELSEWHERE)
    most = max(SMALLEST_CHUNK, elements // latents)
    return -(-len(x_BD) // max(1, -(-len(x_BD) // most))) or 1


class EncoderChunks:
    """Keeps its buffer between steps: a fresh one each time costs more in page faults than it holds."""

    def __init__(self) -> None:
        self._buffer_CF: Tensor | None = None

    def of(self, x_BD: Tensor, W_FD: Tensor, bias_F: Tensor | None, dtype: torch.dtype) -> Iterator[tuple[int, Tensor]]:
        """Number of the first token and x Wᵀ, + bias if there is one, of each chunk, in `dtype`; valid until the next."""
        d_sae, tokens = len(W_FD), chunk_tokens(x_BD, len(W_FD))
        buffer_CF = self._buffer_CF
        if buffer_CF is None or len(buffer_CF) < tokens or buffer_CF.dtype != dtype:
            buffer_CF = self._buffer_CF = torch.empty(tokens, d_sae, dtype=dtype, device=x_BD.device)
        W_DF = W_FD.to(dtype).T
        for first in range(0, len(x_BD), tokens):
            x_CD = x_BD[first : first + tokens].to(dtype)
            out_CF = buffer_CF[: len(x_CD)]
            if bias_F is None:
                torch.mm(x_CD, W_DF, out=out_CF)
            else:
                torch.addmm(bias_F.to(dtype), x_CD, W_DF, out=out_CF)
            yield first, out_CF
