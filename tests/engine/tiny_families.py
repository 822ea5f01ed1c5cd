"""Tiny models with random weights of every family whose hook sites are checked, and the sites that each lacks.

More than tests/engine/tiny_models.py has, and without its tokenizer: 3 blocks of width 32, MLPs of 64, 4 heads, gains
and biases random.
"""

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

LAYERS = 3
SIZES = {
    "vocab_size": 408,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
GEMMA = GROUPED | {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8}
OPENAI = {
    "vocab_size": 408,
    "n_embd": 32,
    "n_inner": 64,
    "n_layer": LAYERS,
    "n_head": 4,
    "n_positions": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
FALCON = {name: SIZES[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")} | {
    "ffn_hidden_size": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
QUARTER_ROTARY = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25}
MAMBA = {name: SIZES[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers")} | {"state_size": 8}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
GEMMA_3N = GROUPED | {
    "head_dim": 8,
    "sliding_window": 16,
    "intermediate_size": [64] * LAYERS,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    "laurel_rank": 4,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 408,
    "num_kv_shared_layers": 0,
    "activation_sparsity_pattern": [0.0] * LAYERS,
}

CONFIGS: dict[str, tuple[str, dict]] = {
    "gpt2": ("gpt2", OPENAI),
    "llama": ("llama", GROUPED),
    "mistral": ("mistral", GROUPED | {"sliding_window": 16}),
    "qwen2": ("qwen2", GROUPED),
    "qwen3": ("qwen3", GROUPED | {"head_dim": 16}),
    "gemma": ("gemma", GROUPED | {"head_dim": 8}),
    "gemma2": ("gemma2", GEMMA),
    "gemma3": ("gemma3_text", GEMMA),
    "gemma3_with_vision": ("gemma3", {"text_config": GEMMA, "vision_config": VISION, "mm_tokens_per_image": 1}),
    "gemma3n": ("gemma3n_text", GEMMA_3N),
    "gpt_neox": ("gpt_neox", SIZES),
    "pythia": ("gpt_neox", SIZES | {"rope_parameters": QUARTER_ROTARY}),
    "gpt_neox_sequential": ("gpt_neox", SIZES | {"use_parallel_residual": False}),
    "gptj": ("gptj", OPENAI | {"rotary_dim": 4}),
    "phi": ("phi", GROUPED),
    "phi3": ("phi3", GROUPED),
    "olmo": ("olmo", GROUPED),
    "olmo2": ("olmo2", GROUPED),
    "falcon": ("falcon", FALCON | {"new_decoder_architecture": False, "multi_query": True}),
    "falcon_40b": ("falcon", FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon_alibi": ("falcon", FALCON | {"parallel_attn": False, "multi_query": False, "bias": True, "alibi": True}),
    "bloom": ("bloom", {"vocab_size": 408, "hidden_size": 32, "n_layer": LAYERS, "n_head": 4}),
    "cohere": ("cohere", GROUPED),
    "granite": ("granite", GROUPED | {"residual_multiplier": 0.3}),
    "mixtral": ("mixtral", GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "mamba": ("mamba", MAMBA),
    "mamba2": ("mamba2", MAMBA | {"num_heads": 8, "head_dim": 8, "n_groups": 2}),
    "lfm2": ("lfm2", GROUPED | {"layer_types": ["conv", "full_attention", "conv"]}),
}

EVERY = (set(),) * LAYERS
PARALLEL = ({"resid_mid"},) * LAYERS
NO_GAIN_BEFORE_MLP = ({"mlp_in_pregain"},) * LAYERS
STATE_SPACE = ({"resid_mid", "attn_z", "attn_out", "mlp_in", "mlp_in_pregain", "mlp_out"},) * LAYERS

LACKS: dict[str, tuple[set[str], ...]] = {
    "gpt2": EVERY,
    "llama": EVERY,
    "mistral": EVERY,
    "qwen2": EVERY,
    "qwen3": EVERY,
    "gemma": EVERY,
    "gemma2": EVERY,
    "gemma3": EVERY,
    "gpt_neox": PARALLEL,
    "pythia": PARALLEL,
    "gpt_neox_sequential": EVERY,
    "gptj": PARALLEL,
    "phi": PARALLEL,
    "phi3": EVERY,
    "olmo": NO_GAIN_BEFORE_MLP,
    "olmo2": NO_GAIN_BEFORE_MLP,
    "falcon": PARALLEL,
    "falcon_40b": PARALLEL,
    "falcon_alibi": EVERY,
    "bloom": EVERY,
    "cohere": PARALLEL,
    "granite": ({"attn_out", "mlp_out"},) * LAYERS,
    "mixtral": EVERY,
    "mamba": STATE_SPACE,
    "mamba2": STATE_SPACE,
    "lfm2": ({"attn_z", "attn_out"}, set(), {"attn_z", "attn_out"}),
}
"""For each family, block by block, the sites it does not have."""


WIDTHS = ("hidden_size", "intermediate_size", "head_dim", "n_embd", "n_inner", "query_pre_attn_scalar")


def tiny_family(family: str, *, packs: bool = False) -> PreTrainedModel:
    """A model of `family`, a key of CONFIGS, in float32 and eval mode; the same weights each time.

    `packs` doubles its widths, so that it can be held in 4 bits.
    """
    model_type, sizes = CONFIGS[family]
    if packs:
        sizes = sizes | {name: 2 * sizes[name] for name in WIDTHS if name in sizes}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[model_type](**sizes), dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * parameter.shape[-1] ** -0.5)
    return model.eval()
