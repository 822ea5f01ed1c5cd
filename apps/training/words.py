"""Short words for architectures and their sparsity, for names, legends and tables."""

ARCHITECTURE_NAMES = {
    "topk": "TopK",
    "batchtopk": "BatchTopK",
    "matryoshka": "Matryoshka",
    "jumprelu": "JumpReLU",
    "standard": "Standard",
    "gated": "Gated",
    "transcoder": "Transcoder",
    "skip_transcoder": "Skip transcoder",
    "skip": "Skip",
}
SPARSITY_WORDS = {"k": "k", "l1_coefficient": "λ", "l0_coefficient": "λ"}
"""In names. Not "L0": an L0 coefficient of 1 is no L0 of 1."""
