"""In which precision large matrix products run: language models, and the encoder of a training SAE."""

import torch

from workers.engine.monitor.devices import device_multiplies
from workers.engine.specs.memory_estimate import compute_precision


def matmul_dtype_for(device: str) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, about 3 times as fast; emulated it is slower than float32."""
    multiplies_bf16, _ = device_multiplies(device)
    return torch.bfloat16 if multiplies_bf16 else torch.float32


def lm_compute_dtype(quantization: str, lm_dtype: str, device: str) -> torch.dtype:
    """In which a language model held as `quantization` multiplies on `device`; rule: specs/memory_estimate.py."""
    multiplies_bf16, multiplies_fp16 = device_multiplies(device)
    name = compute_precision(
        quantization=quantization,
        lm_dtype=lm_dtype,
        multiplies_bf16=multiplies_bf16,
        multiplies_fp16=multiplies_fp16,
    )
    return getattr(torch, name)
