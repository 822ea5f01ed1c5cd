"""Small SAEs made on the spot for tests."""

import torch

from workers.engine.saes.encoding import TENSORS
from workers.engine.saes.sae import Sae
from workers.engine.specs.encode import TRANSCODERS, EncodeSpec
from workers.engine.specs.hook_site import HookSite

SITE = HookSite(layer=3, site="resid_post")
MLP_IN, MLP_OUT = HookSite(layer=3, site="mlp_in"), HookSite(layer=3, site="mlp_out")


def random_sae(architecture: str = "topk", d_in: int = 16, d_sae: int = 48, seed: int = 0, **spec) -> Sae:
    """An SAE of any inference architecture with random weights whose decoder rows differ in length.

    Transcoders answer 3.mlp_out, from 3.mlp_in, in 12 dimensions.
    """
    generator = torch.Generator().manual_seed(seed)
    if architecture == "topk":
        spec = {"k": 5, "rescale_acts_by_decoder_norm": True} | spec
    if architecture in TRANSCODERS:
        spec = {"d_out": 12, "hook_site": MLP_IN, "hook_site_out": MLP_OUT, "apply_b_dec_to_input": False} | spec
    spec = {"hook_site": SITE} | spec
    d_out = spec.get("d_out") or d_in

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    tensors = {
        "W_enc": normal(d_in, d_sae),
        "b_enc": normal(d_sae) * 0.1,
        "W_dec": normal(d_sae, d_out) * torch.rand(d_sae, 1, generator=generator),
        "b_dec": normal(d_out),
        "threshold": normal(d_sae) + 1,
        "b_gate": normal(d_sae),
        "r_mag": normal(d_sae) * 0.3,
        "b_mag": normal(d_sae),
        "W_skip": normal(d_out, d_in),
    }
    own = {name: tensors[name] for name in TENSORS[architecture]}
    return Sae(
        **{"b_enc": None} | own,
        encode_spec=EncodeSpec(architecture=architecture, d_in=d_in, d_sae=d_sae, **spec),
    )


def activations(tokens: int = 64, d_in: int = 16, seed: int = 1) -> torch.Tensor:
    return torch.randn(tokens, d_in, generator=torch.Generator().manual_seed(seed)) * 3 + 1
