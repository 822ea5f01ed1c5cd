"""Small SAEs made on the spot for tests."""

import torch

from workers.engine.saes.sae import Sae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.hook_site import HookSite

SITE = HookSite(layer=3, site="resid_post")


def random_sae(architecture: str = "topk", d_in: int = 16, d_sae: int = 48, seed: int = 0, **spec) -> Sae:
    """An SAE with random weights whose decoder rows differ in length."""
    generator = torch.Generator().manual_seed(seed)
    if architecture == "topk":
        spec = {"k": 5, "rescale_acts_by_decoder_norm": True} | spec
    spec = {"hook_site": SITE} | spec
    return Sae(
        W_enc=torch.randn(d_in, d_sae, generator=generator),
        b_enc=torch.randn(d_sae, generator=generator) * 0.1,
        W_dec=torch.randn(d_sae, d_in, generator=generator) * torch.rand(d_sae, 1, generator=generator),
        b_dec=torch.randn(d_in, generator=generator),
        encode_spec=EncodeSpec(architecture=architecture, d_in=d_in, d_sae=d_sae, **spec),
    )


def activations(tokens: int = 64, d_in: int = 16, seed: int = 1) -> torch.Tensor:
    return torch.randn(tokens, d_in, generator=torch.Generator().manual_seed(seed)) * 3 + 1
