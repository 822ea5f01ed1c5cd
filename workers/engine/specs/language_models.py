"""Specs of language models: bringing one in, and what is known of it."""

from dataclasses import dataclass
from typing import Any, ClassVar

from workers.engine.specs.base import Inputs, Result, Spec, option
from workers.engine.specs.errors import SpecInvalid

LANGUAGE_MODEL_SOURCES = (
    ("hub", "Hugging Face Hub"),
    ("folder", "Local folder (safetensors)"),
    ("gguf", "GGUF file (converted once)"),
)

QUANTIZATIONS = (
    ("fp32", "float32"),
    ("bf16", "bfloat16"),
    ("fp16", "float16"),
    ("int8", "8-bit (bitsandbytes, LLM.int8)"),
    ("nf4", "4-bit (bitsandbytes, nf4 with double quantization)"),
)
"""How a language model's weights are held in memory. On disk they stay as published."""
QUANTIZATION_CHOICES = (("auto", "As published"), *QUANTIZATIONS)


def quantization_option() -> Any:
    """The choice of how the weights are held."""
    return option(
        "auto",
        label="Quantization",
        choices=QUANTIZATION_CHOICES,
        help="How the weights are held in memory. 8-bit and 4-bit quantize the matrices of the blocks and save memory at "
        "some cost in accuracy; an SAE belongs to the quantization it was trained on.",
    )


def quantization_check(quantization: str, misfit: str) -> None:
    """Raise SpecInvalid when a model with the matrix `misfit` (LanguageModelImportResult.nf4_misfit) shall be held in
    4 bits."""
    if quantization == "nf4" and misfit:
        raise SpecInvalid(
            f"The model cannot be held in 4 bits: the widths of {misfit} do not pack, which takes inputs in multiples "
            "of 64 and outputs in multiples of 32.",
            "Hold it in 8 bits, or as published.",
            field="quantization",
        )


@dataclass(frozen=True, kw_only=True)
class LanguageModelImportSpec(Spec):
    """Bring a decoder-only language model and its tokenizer into the studio, as safetensors."""

    KIND: ClassVar[str] = "language_model_import"
    QUEUE: ClassVar[str] = "io"
    TITLE: ClassVar[str] = "Import language model"
    ENGINE: ClassVar[str] = "language_models.importing:language_model_import"

    name: str = option("", label="Name", help="How the model is called in the studio; empty takes the source's name.")
    source: str = option("hub", label="From", choices=LANGUAGE_MODEL_SOURCES, help="Where the weights come from.")
    repo_id: str = option(
        "",
        label="Repository",
        only_for=("source", ("hub",)),
        is_needed=True,
        help="Id on the Hub such as HuggingFaceTB/SmolLM2-135M, or the address of its page.",
    )
    revision: str = option(
        "",
        label="Revision",
        only_for=("source", ("hub",)),
        advanced=True,
        help="Branch, tag or commit; empty: the default branch.",
    )
    path: str = option(
        "",
        label="Path",
        only_for=("source", ("folder", "gguf")),
        is_path=True,
        is_needed=True,
        help="A folder with config.json and *.safetensors, or a .gguf file, on the studio's machine.",
    )

    quantization: str = quantization_option()

    def check(self) -> None:
        if self.source == "hub" and not self.repo_id:
            raise SpecInvalid(
                "No repository was named.", "Give an id such as HuggingFaceTB/SmolLM2-135M.", field="repo_id"
            )
        if self.source != "hub" and not self.path:
            raise SpecInvalid(
                "No path was named.", "Give a folder or a .gguf file on the studio's machine.", field="path"
            )


@dataclass(frozen=True, kw_only=True)
class LanguageModelImportInputs(Inputs):
    """`path` is the checked absolute path of a local source; empty for the Hub. The token comes by environment. What
    arrives is kept in `job_dir`/download until the import succeeds, so that a retry goes on there."""

    path: str = ""


@dataclass(frozen=True, kw_only=True)
class HookSiteWidth(Result):
    """One available hook site of a model: the module it resolves to and the width of its activation."""

    layer: int
    site: str
    width: int
    module: str
    """Dotted path in the model, with "in" or "out": "model.layers.15 out"."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelImportResult(Result):
    """The folder holds a Transformers model (config.json, *.safetensors), its tokenizer files, and vocabulary.parquet
    (token_id int32, token string: the tokenizer's raw token strings; in its metadata the Spelling), so that pages need no
    tokenizer."""

    model_type: str
    architecture: str
    """Transformers' class name, e.g. LlamaForCausalLM."""
    layers: int
    d_model: int
    d_mlp: int
    heads: int
    vocab_size: int
    max_context: int
    parameters: int
    dtype: str
    """Of the stored weights: bfloat16, float32, …"""
    bytes: int
    hook_sites: tuple[HookSiteWidth, ...]
    modules: tuple[dict[str, Any], ...]
    """Tree rows of the architecture page, depth first: {"path", "class", "parameters", "shape", "depth"}."""
    licence: str = ""
    revision: str = ""
    weights_sha256: str = ""
    tokenizer_sha256: str = ""
    has_chat_template: bool = False
    tied_embeddings: bool = False
    quantization: str = ""
    """A key of QUANTIZATIONS; "as published" is resolved."""
    linear_parameters: int = 0
    """Weights that 8-bit and 4-bit quantize: the matrices of the blocks, without embeddings and output head."""
    kv_width: int = 0
    """Numbers that the key-value cache holds for each token, all layers together: Σ 2 × kv heads × head width."""
    footprint_bytes: int = 0
    """`get_memory_footprint()` of the model loaded as this row says, on the CPU of the machine that imported it."""
    nf4_misfit: str = ""
    """The first matrix whose widths do not pack in 4 bits, with them; "" when the model can be held so."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelLookupSpec(Spec):
    """Ask the Hub what a language model is, before any weight is downloaded: size, licence, what it needs."""

    KIND: ClassVar[str] = "language_model_lookup"
    QUEUE: ClassVar[str] = "io"
    TITLE: ClassVar[str] = "Look up language model"
    PASSING: ClassVar[bool] = True
    ENGINE: ClassVar[str] = "language_models.hub_lookup:language_model_lookup"

    repo_id: str = option(
        label="Repository", help="Id on the Hub such as HuggingFaceTB/SmolLM2-135M, or the address of its page."
    )
    revision: str = option(
        "", label="Revision", advanced=True, help="Branch, tag or commit; empty: the default branch."
    )


@dataclass(frozen=True, kw_only=True)
class LanguageModelLookupInputs(Inputs):
    """Nothing lies on this machine; the token comes by environment."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelLookupResult(Result):
    """What the Hub's config.json and file list say; weights are counted on a model without storage (device "meta")."""

    repo_id: str
    revision: str
    licence: str
    gated: bool
    bytes: int
    """Of the files that an import downloads."""
    model_type: str
    architecture: str
    layers: int
    d_model: int
    d_mlp: int
    vocab_size: int
    max_context: int
    parameters: int
    linear_parameters: int
    kv_width: int
    dtype: str
    """In which the weights are published: bfloat16, float32, …"""
    nf4_misfit: str = ""
    """As in LanguageModelImportResult."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelQuantizeSpec(Spec):
    """Hold a language model in another quantization from now on. Its files and all that refers to it stay."""

    KIND: ClassVar[str] = "language_model_quantize"
    QUEUE: ClassVar[str] = "cpu"
    TITLE: ClassVar[str] = "Quantize language model"
    ENGINE: ClassVar[str] = "language_models.quantizing:language_model_quantize"

    language_model: int = option(
        label="Language model", reference="language_models.LanguageModel", help="The model to hold otherwise."
    )
    quantization: str = quantization_option()


@dataclass(frozen=True, kw_only=True)
class LanguageModelQuantizeInputs(Inputs):
    """`model_dir` holds the weights as published."""

    model_dir: str = ""


@dataclass(frozen=True, kw_only=True)
class LanguageModelQuantizeResult(Result):
    """The quantization, resolved, and the measured footprint as in LanguageModelImportResult. No files."""

    quantization: str
    footprint_bytes: int


@dataclass(frozen=True, kw_only=True)
class VocabularyRebuildSpec(Spec):
    """Store a language model's vocabulary again, as this version of the studio reads it; the studio's start asks for it."""

    KIND: ClassVar[str] = "vocabulary_rebuild"
    QUEUE: ClassVar[str] = "io"
    TITLE: ClassVar[str] = "Rebuild vocabulary"
    ENGINE: ClassVar[str] = "language_models.vocabulary:vocabulary_rebuild"

    language_model: int = option(
        label="Language model", reference="language_models.LanguageModel", help="The model whose tokenizer is read."
    )


@dataclass(frozen=True, kw_only=True)
class VocabularyRebuildInputs(Inputs):
    """`model_dir` holds the tokenizer."""

    model_dir: str = ""


@dataclass(frozen=True, kw_only=True)
class VocabularyRebuildResult(Result):
    """The folder holds vocabulary.parquet, as an import writes it."""

    tokens: int


@dataclass(frozen=True, kw_only=True)
class LanguageModelCheckSpec(Spec):
    """Read a language model's weights again and hold them against the hash of the import."""

    KIND: ClassVar[str] = "language_model_check"
    QUEUE: ClassVar[str] = "io"
    TITLE: ClassVar[str] = "Check language model"
    ENGINE: ClassVar[str] = "language_models.checking:language_model_check"

    language_model: int = option(
        label="Language model", reference="language_models.LanguageModel", help="The model whose weights are read."
    )


@dataclass(frozen=True, kw_only=True)
class LanguageModelCheckInputs(Inputs):
    """Where the weights lie, and the hash that the import found."""

    model_dir: str = ""
    weights_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class LanguageModelCheckResult(Result):
    """The hash that was found, the import's. No files."""

    weights_sha256: str
