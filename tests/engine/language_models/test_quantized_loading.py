"""How a language model is held: precision, rounding, bitsandbytes' modules, and what hooks see of them."""

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from tests.engine.tiny_models import FAMILIES, PACKED_WIDTH, tiny_model_folder
from workers.engine.hooks.capture import capture, replaced
from workers.engine.hooks.sites import hook_sites
from workers.engine.hooks.wiring import model_wiring
from workers.engine.language_models.loading import language_model_load, quantization_resolve
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.language_models import QUANTIZATIONS
from workers.engine.specs.memory_estimate import weights_bytes

IDS = torch.arange(2, 14).reshape(2, 6)
QUANTIZED = {"int8": Linear8bitLt, "nf4": Linear4bit}
D_MLP = 2 * PACKED_WIDTH
SITE = HookSite(layer=1, site="resid_post")


@pytest.fixture
def native(monkeypatch):
    """Say what this device multiplies natively: (bfloat16, float16)."""
    return lambda *answer: monkeypatch.setattr("workers.engine.precision.device_multiplies", lambda _: answer)


@pytest.fixture
def folder(tmp_path):
    return tiny_model_folder(tmp_path, width=PACKED_WIDTH)


def load(folder, quantization, lm_dtype="auto"):
    return language_model_load(folder, quantization=quantization, lm_dtype=lm_dtype, device="cpu")


@pytest.mark.parametrize(
    ("quantization", "here", "there"),
    [
        ("fp32", torch.float32, torch.float32),
        ("bf16", torch.bfloat16, torch.float32),
        ("fp16", torch.float16, torch.float32),
        ("int8", torch.bfloat16, torch.float32),
        ("nf4", torch.bfloat16, torch.float32),
    ],
)
def test_auto_computes_as_the_weights_are_held_where_the_device_can(folder, native, quantization, here, there):
    native(True, True)
    assert load(folder, quantization).dtype == here
    native(False, False)
    assert load(folder, quantization).dtype == there


@pytest.mark.parametrize("quantization", [key for key, _ in QUANTIZATIONS])
@pytest.mark.parametrize("lm_dtype", ["float32", "bfloat16"])
def test_a_wish_for_a_precision_is_fulfilled_anywhere(folder, quantization, lm_dtype):
    model = load(folder, quantization, lm_dtype)
    wanted = getattr(torch, lm_dtype)
    assert model.model.norm.weight.dtype == model.lm_head.weight.dtype == model.dtype == wanted
    assert capture(model, IDS, SITE).dtype == wanted
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32


@pytest.mark.parametrize(("quantization", "held"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_weights_are_rounded_to_what_holds_them_even_if_computed_in_float32(folder, quantization, held):
    original = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    loaded = load(folder, quantization, "float32").state_dict()
    assert all(torch.equal(loaded[name], weight.to(held).float()) for name, weight in original.items())
    assert any(not torch.equal(loaded[name], weight) for name, weight in original.items())


def test_the_published_precision_is_that_of_the_files(folder):
    assert quantization_resolve("auto", folder) == quantization_resolve("", folder) == "fp32"
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    assert quantization_resolve("auto", folder) == "bf16"
    assert quantization_resolve("nf4", folder) == "nf4"


@pytest.mark.parametrize("quantization", QUANTIZED)
@pytest.mark.parametrize("family", FAMILIES)
def test_quantized_matrices_keep_their_hook_sites(tmp_path, family, quantization):
    folder = tiny_model_folder(tmp_path, family=family, width=PACKED_WIDTH)
    plain = load(folder, "fp32")
    sites, widths = hook_sites(plain), [block.d_mlp for block in model_wiring(plain)]
    model = load(folder, quantization)
    kinds = {type(module) for module in model.modules()}
    assert QUANTIZED[quantization] in kinds
    assert hook_sites(model) == sites
    assert [block.d_mlp for block in model_wiring(model)] == widths == [D_MLP] * len(widths)


@pytest.mark.parametrize(("quantization", "largest_error"), [("int8", 0.02), ("nf4", 0.15)])
def test_a_quantized_matrix_multiplies_nearly_the_same(folder, quantization, largest_error):
    exact = load(folder, "fp32").model.layers[1].mlp.down_proj
    quantized = load(folder, quantization).model.layers[1].mlp.down_proj
    x_BD = torch.randn(64, D_MLP, generator=torch.Generator().manual_seed(0))
    y_BD = exact(x_BD)
    error = ((quantized(x_BD) - y_BD).norm() / y_BD.norm()).item()
    assert largest_error / 20 < error < largest_error


@pytest.mark.parametrize("quantization", QUANTIZED)
@pytest.mark.parametrize("site", ["attn_z", "mlp_in", "mlp_out", "resid_mid"])
def test_an_activation_of_a_quantized_model_can_be_replaced(folder, quantization, site):
    model = load(folder, quantization)
    place = HookSite(layer=1, site=site)
    before, seen = model(IDS).logits, capture(model, IDS, place)
    with replaced(model, place, lambda x: x * 1) as same:
        assert torch.equal(model(IDS).logits, before)
    with replaced(model, place, lambda x: x + 10) as other:
        assert not torch.equal(model(IDS).logits, before)
    assert same.calls == other.calls == 1
    assert seen.shape == (2, 6, PACKED_WIDTH)


@pytest.mark.parametrize("quantization", [key for key, _ in QUANTIZATIONS])
@pytest.mark.parametrize("lm_dtype", ["auto", "bfloat16"])
def test_the_estimate_is_near_the_measured_footprint(tmp_path, native, quantization, lm_dtype):
    native(False, False)
    config = LlamaConfig(
        vocab_size=300, hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=4
    )
    plain = LlamaForCausalLM(config)
    plain.save_pretrained(tmp_path)
    linear = sum(module.weight.numel() for module in plain.model.modules() if isinstance(module, torch.nn.Linear))
    estimate = weights_bytes(
        quantization=quantization,
        parameters=plain.num_parameters(),
        linear_parameters=linear,
        multiplies_bf16=False,
        lm_dtype=lm_dtype,
    )
    assert load(tmp_path, quantization, lm_dtype).get_memory_footprint() == pytest.approx(estimate, rel=0.05)
