"""How much memory a language model takes: closed formulas, for a form before anything is loaded and for leases.

Standard library only: engine and web count alike. Constant costs (PyTorch itself, about half a GiB) are not in here.
"""

PRECISION_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
HELD_IN = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Quantizations that hold every weight in one floating-point precision."""
NF4_BLOCK = 64
"""Weights that share one scale (absmax); the scales themselves are 8-bit, in blocks of NF4_SCALES with a float32 each."""
NF4_SCALES = 256
INT8_ROW = 1024
"""Assumed length of a matrix row: 8-bit keeps one float32 scale per row, which hardly matters."""
LIVE_TENSORS = 8
"""Tensors of the residual stream's size that one block holds at once: input, norms, q, k, v, attention's and MLP's output."""
MLP_TENSORS = 3
"""Of the MLP's hidden width at once: gate, up, and their product."""


def compute_precision(
    *, quantization: str, lm_dtype: str = "auto", multiplies_bf16: bool, multiplies_fp16: bool | None = None
) -> str:
    """The precision in which a model held as `quantization` multiplies: "float32", "bfloat16" or "float16".

    "auto" is the precision the weights are held in where the device multiplies it natively, else float32; 8-bit and 4-bit
    weights multiply in bfloat16 there. `lm_dtype` "float32" or "bfloat16" insists. `multiplies_fp16` None: as bfloat16.
    """
    if lm_dtype != "auto":
        return lm_dtype
    held = HELD_IN.get(quantization, "bfloat16")
    is_native = {
        "float32": True,
        "bfloat16": multiplies_bf16,
        "float16": multiplies_bf16 if multiplies_fp16 is None else multiplies_fp16,
    }
    return held if is_native[held] else "float32"


def weights_bytes(
    *,
    quantization: str,
    parameters: int,
    linear_parameters: int,
    multiplies_bf16: bool,
    multiplies_fp16: bool | None = None,
    lm_dtype: str = "auto",
) -> int:
    """Bytes of a loaded model's weights; `quantization` is a key of QUANTIZATIONS.

    c = bytes of the compute precision (compute_precision); P = parameters, tied ones once; L = linear_parameters.

    fp32, bf16, fp16: c · P
    int8: L · (1 + 4 / row) + c · (P - L): one byte each and one float32 scale per row
    nf4:  L · (1/2 + 1/64 + 4 / (64 · 256)) + c · (P - L): half a byte each, an 8-bit scale per 64, a float32 per 256 scales
    """
    each = PRECISION_BYTES[
        compute_precision(
            quantization=quantization,
            lm_dtype=lm_dtype,
            multiplies_bf16=multiplies_bf16,
            multiplies_fp16=multiplies_fp16,
        )
    ]
    if quantization in HELD_IN:
        return each * parameters
    per_weight = {"int8": 1 + 4 / INT8_ROW, "nf4": 1 / 2 + 1 / NF4_BLOCK + 4 / (NF4_BLOCK * NF4_SCALES)}[quantization]
    return round(linear_parameters * per_weight) + each * (parameters - linear_parameters)


def kv_cache_bytes(*, kv_width: int, context_length: int, batch: int, bytes_each: int) -> int:
    """Bytes of the key-value cache of `batch` full contexts: kv_width numbers per token, all layers together."""
    return kv_width * context_length * batch * bytes_each


def working_bytes(
    *, d_model: int, d_mlp: int, vocab_size: int, context_length: int, batch: int, bytes_each: int
) -> int:
    """Bytes of one forward pass beside weights and cache: the widest block, or the logits of every position.

    batch · T · max(LIVE_TENSORS · d_model + MLP_TENSORS · d_mlp, 2 · d_model + vocab_size) · bytes_each
    """
    block = LIVE_TENSORS * d_model + MLP_TENSORS * d_mlp
    head = 2 * d_model + vocab_size
    return batch * context_length * max(block, head) * bytes_each
