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
    """`path` is the checked absolute path of a local source; empty for the Hub. The token comes by environment."""

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
    (token_id int32, token string: the tokenizer's raw token strings), so that pages need no tokenizer."""

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
