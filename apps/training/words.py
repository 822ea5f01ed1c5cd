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
SPARSITY_WORDS = {"k": "k", "l1_coefficient": "L1", "l0_coefficient": "L0"}
