"""Tiny language models with random weights, of several architectures, and a byte-level BPE tokenizer.

They are real Transformers models, a few thousand parameters each: `tiny_model_folder(tmp_path, family="gpt2")` writes one
with its tokenizer into a folder, ready for AutoModelForCausalLM and AutoTokenizer. Same family and seed, same weights.
"""

from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

LAYERS = 4
D_MODEL = 32
D_MLP = 64
PACKED_WIDTH = 64
"""From this width on every matrix of a tiny model packs in 4 bits; at D_MODEL none does."""
HEADS = 4
VOCAB_SIZE = 408  # a few more rows than the tokenizer has tokens, as real models do
MAX_CONTEXT = 128
BOS, EOS = "<s>", "</s>"
FAMILIES = ("llama", "gpt2", "gpt_neox", "gemma2", "qwen2")

SENTENCES = (
    "The cat sat on the mat and looked at the moon.",
    "Paris is the capital of France, and London is the capital of England.",
    "She sells sea shells by the sea shore; the shells she sells are surely seashells.",
    "In 1969 two people walked on the moon for the first time.",
    "A researcher reads activations, trains a dictionary and names its features.",
    "Ein Käse für die Prüfung, naïve café, 東京 and a smile 🙂.",
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of about 400 tokens learnt from SENTENCES, with <s> (id 0) and </s> (id 1); adds no BOS itself."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(SENTENCES, vocab_size=400, min_frequency=1, special_tokens=[BOS, EOS], show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, bos_token=BOS, eos_token=EOS)


def tiny_config(family: str, vocab_size: int, *, width: int = D_MODEL) -> PretrainedConfig:
    """The configuration of one family: 4 layers, twice the width in the MLP, 4 heads."""
    d_mlp, head = width * D_MLP // D_MODEL, width // HEADS
    rotary = {
        "vocab_size": vocab_size,
        "hidden_size": width,
        "intermediate_size": d_mlp,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": MAX_CONTEXT,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": None,
    }
    if family == "llama":
        return LlamaConfig(**rotary, num_key_value_heads=2)
    if family == "qwen2":
        return Qwen2Config(**rotary, num_key_value_heads=2)
    if family == "gemma2":
        return Gemma2Config(
            **rotary, num_key_value_heads=2, head_dim=head, sliding_window=16, query_pre_attn_scalar=head
        )
    if family == "gpt_neox":
        return GPTNeoXConfig(**rotary, use_parallel_residual=True)
    if family == "gpt2":
        return GPT2Config(
            vocab_size=vocab_size,
            n_embd=width,
            n_inner=d_mlp,
            n_layer=LAYERS,
            n_head=HEADS,
            n_positions=MAX_CONTEXT,
            bos_token_id=0,
            eos_token_id=1,
        )
    raise ValueError(f"no tiny model of family {family!r}; known: {', '.join(FAMILIES)}")


def tiny_model(
    family: str = "llama", *, vocab_size: int = VOCAB_SIZE, seed: int = 0, width: int = D_MODEL
) -> PreTrainedModel:
    """A model of `family` in float32 and eval mode. Norm gains and biases are random too, so that no site hides behind a 1."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(tiny_config(family, vocab_size, width=width), dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * parameter.shape[-1] ** -0.5)
    return model.eval()


def tiny_model_folder(tmp_path: Path, family: str = "llama", *, seed: int = 0, width: int = D_MODEL) -> Path:
    """Write a tiny model and the tiny tokenizer to tmp_path/<family> and return that folder."""
    folder = Path(tmp_path) / family
    tiny_model(family, seed=seed, width=width).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
