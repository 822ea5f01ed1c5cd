"""Specs of SAE training: what a researcher can decide, and what a training hands back.

One Spec trains one SAE or a sweep of them: every hook site × width × sparsity × seed that it lists (`TrainSpec.members`).
All members read the same stream of activations, so another SAE costs its own steps only.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

from workers.engine.specs.activations import LM_DTYPES, MIXINGS, mixing_check
from workers.engine.specs.base import Inputs, Record, Result, Spec, device_option, option
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.hook_site import HookSite

ARCHITECTURES = (
    ("topk", "TopK: exactly k latents a token, AuxK against dead ones"),
    ("batchtopk", "BatchTopK: k latents a token on average, a threshold at inference"),
    ("matryoshka", "Matryoshka BatchTopK: nested dictionaries, general latents first"),
    ("jumprelu", "JumpReLU: a learned threshold for each latent"),
    ("standard", "Standard: ReLU with an L1 penalty"),
    ("gated", "Gated: one path decides what fires, another how strongly"),
    ("transcoder", "Transcoder: from the MLP's input to its output"),
    ("skip_transcoder", "Skip transcoder: the same beside a linear map"),
    ("skip", "Skip SAE: latents beside a low-rank linear path"),
)
TOPK_FAMILY = ("topk", "batchtopk", "matryoshka")
L1_FAMILY = ("standard", "gated", "transcoder", "skip_transcoder", "skip")
TRANSCODERS = ("transcoder", "skip_transcoder")
"""They read mlp_in and answer mlp_out of the same layer."""
WITH_LINEAR_PATH = ("skip_transcoder", "skip")
PER_TOKEN = ("constant_norm_rescale", "layer_norm")
"""Normalisations that stay with the SAE: nothing about them can be folded into weights."""
SOURCES = (("cache", "An activation cache"), ("text", "Text, through the language model while training"))
TRAINING_NORMALIZATIONS = (
    ("expected_average_only_in", "Scale so that the mean norm is √d_in (folded into the weights at the end)"),
    ("constant_norm_rescale", "Scale each token to norm √d_in"),
    ("layer_norm", "Centre and scale each token"),
    ("none", "None"),
)
L0_LOSSES = (
    ("step", "Step: λ · L0, gradient by a straight-through rectangle"),
    ("tanh", "Tanh: λ · Σ tanh(c · f · ‖W_dec‖)"),
    ("quadratic", "Quadratic: λ · (L0 / target − 1)²"),
)
DEAD_LATENTS = (
    ("auto", "AuxK where the architecture has it (TopK, BatchTopK, Matryoshka), else nothing"),
    ("resample", "Resample: dead latents start again where the error is large"),
    ("none", "Nothing"),
)
DECODERS = (
    ("trained", "Trained"),
    ("frozen", "Frozen: stays as it started (a control)"),
    ("random", "Random: drawn apart from the encoder and frozen (a control)"),
)
B_DEC_STARTS = (
    ("auto", "The mean activation where that is long beside what varies around it, else 0"),
    ("mean", "The mean activation"),
    ("zero", "0, as in SAELens"),
)
LR_DECAYS = (("linear", "Linear to 0"), ("cosine", "Cosine to 0"), ("constant", "None: constant to the end"))
MOST_MEMBERS = 64


@dataclass(frozen=True, kw_only=True)
class Member:
    """One SAE of a training: `spec` is the training's with this member's own width, sparsity and seed, nothing swept.

    `hook_site` is None when an activation cache decides it.
    """

    index: int
    hook_site: HookSite | None
    spec: "TrainSpec"

    @property
    def key(self) -> str:
        """Names its files: "sae-00"."""
        return f"sae-{self.index:02d}"


@dataclass(frozen=True, kw_only=True)
class TrainSpec(Spec):
    """Train sparse autoencoders on a language model's activations.

    Loss: sum over d_in, mean over tokens, on normalised activations; coefficients keep SAELens' meaning.
    """

    KIND: ClassVar[str] = "train"
    QUEUE: ClassVar[str] = "gpu"
    TITLE: ClassVar[str] = "Train SAE"
    ENGINE: ClassVar[str] = "training.training:train"
    RESUMES: ClassVar[bool] = True
    FINISHES: ClassVar[bool] = True
    FINISH_WORDS: ClassVar[str] = "Stop and keep the SAE"
    SCHEMA: ClassVar[int] = 2

    name: str = option("", label="Name", help="How the run is called; empty makes one from the settings.")

    source: str = option(
        "cache",
        label="Activations from",
        choices=SOURCES,
        help="A cache serves many runs; text needs no disk and can train several hook sites in one pass.",
    )
    activation_cache: int | None = option(
        None,
        label="Activation cache",
        reference="activations.ActivationCache",
        only_for=("source", ("cache",)),
        is_needed=True,
        help="The activations to learn from.",
    )
    language_model: int | None = option(
        None,
        label="Language model",
        reference="language_models.LanguageModel",
        only_for=("source", ("text",)),
        is_needed=True,
        help="Must have the tokenization's tokenizer.",
    )
    tokenization: int | None = option(
        None,
        label="Tokenization",
        reference="datasets.Tokenization",
        only_for=("source", ("text",)),
        is_needed=True,
        help="The contexts to run; its training part is read, again in another order when it ends.",
    )
    more_tokenizations: tuple[int, ...] = option(
        (),
        label="More tokenizations",
        reference="datasets.Tokenization",
        only_for=("source", ("text",)),
        advanced=True,
        help="Further texts to learn from, of the same tokenizer and context length.",
    )
    mixing: str = option(
        "interleaved",
        label="Mixing",
        choices=MIXINGS,
        only_for=("source", ("text",)),
        advanced=True,
        help="How several tokenizations follow each other; nothing with one.",
    )
    mixing_weights: tuple[float, ...] = option(
        (),
        label="Mixing weights",
        minimum=0.0,
        maximum=1e6,
        only_for=("mixing", ("weighted",)),
        advanced=True,
        help="One for each tokenization, in their order: 3, 1 draws three contexts of the first for one of the second.",
    )
    hook_sites: tuple[str, ...] = option(
        (),
        label="Hook sites",
        pattern=r"[0-9]{1,4}\.[a-z_]+",
        only_for=("source", ("text",)),
        is_needed=True,
        help="One or several, as 15.resid_post, 20.resid_post: each gets its SAEs. Transcoders read 15.mlp_in.",
    )
    use_cache: bool = option(
        True,
        label="Use a cache that fits",
        only_for=("source", ("text",)),
        advanced=True,
        help="When a ready activation cache of this model, text and hook site has all the tokens needed, read that.",
    )
    buffer_tokens: int = option(
        65_536,
        label="Shuffle buffer",
        minimum=1_024,
        maximum=16_777_216,
        unit="tokens",
        only_for=("source", ("text",)),
        advanced=True,
        help="Tokens harvested and shuffled together, besides the shuffled order of contexts.",
    )
    leave_out_special: bool = option(
        False,
        label="Leave out special tokens",
        only_for=("source", ("text",)),
        advanced=True,
        help="Separators between documents and other special tokens are read by the model and passed by everywhere else: they "
        "enter neither training nor measurements, now or later. Where documents are short they are a good part of all tokens.",
    )
    lm_dtype: str = option(
        "auto", label="Model precision", choices=LM_DTYPES, advanced=True, help="Precision of the language model."
    )
    batch_contexts: int = option(
        16,
        label="Contexts at once",
        minimum=1,
        maximum=1024,
        advanced=True,
        help="Contexts in each forward pass of the language model.",
    )

    architecture: str = option(
        "topk", label="Architecture", choices=ARCHITECTURES, help="The kind of sparse autoencoder."
    )
    d_sae: int = option(
        4608,
        label="Latents (d_sae)",
        minimum=2,
        maximum=1_048_576,
        help="Size of the dictionary; 8 × the activation's width is a usual start.",
    )
    k: int = option(
        32,
        label="k",
        minimum=1,
        maximum=4096,
        only_for=("architecture", TOPK_FAMILY),
        help="Latents that fire for each token: exactly (TopK) or on average (BatchTopK, Matryoshka).",
        source="Gao et al. 2024, arXiv:2406.04093",
    )
    l1_coefficient: float = option(
        1.0,
        label="L1 coefficient",
        minimum=1e-7,
        maximum=1000.0,
        only_for=("architecture", L1_FAMILY),
        help="Weight of Σ f·‖W_dec‖ against the squared error: larger is sparser.",
        source="SAELens l1_coefficient",
    )
    l0_coefficient: float = option(
        1.0,
        label="L0 coefficient",
        minimum=1e-7,
        maximum=1000.0,
        only_for=("architecture", ("jumprelu",)),
        help="Weight of the sparsity loss against the squared error: larger is sparser.",
        source="SAELens l0_coefficient",
    )
    l0_loss: str = option(
        "step",
        label="Sparsity loss",
        choices=L0_LOSSES,
        only_for=("architecture", ("jumprelu",)),
        help="What the coefficient multiplies.",
        source="Rajamanoharan et al. 2024, arXiv:2407.14435",
    )
    target_l0: float = option(
        32.0,
        label="Target L0",
        minimum=0.1,
        maximum=100_000.0,
        only_for=("l0_loss", ("quadratic",)),
        help="Latents per token that the quadratic loss aims at.",
        source="Gemma Scope 2; SAELens target_l0",
    )
    sparsity_warmup_steps: int = option(
        100,
        label="Sparsity warm-up",
        minimum=0,
        maximum=10**9,
        unit="steps",
        only_for=("architecture", (*L1_FAMILY, "jumprelu")),
        advanced=True,
        help="The sparsity coefficient grows linearly from 0 over so many steps.",
        source="SAELens l1_warm_up_steps",
    )
    bandwidth: float = option(
        0.05,
        label="Bandwidth",
        minimum=1e-6,
        maximum=10.0,
        only_for=("architecture", ("jumprelu",)),
        advanced=True,
        help="Width of the rectangle around the threshold within which it gets a gradient.",
        source="SAELens jumprelu_bandwidth",
    )
    initial_threshold: float = option(
        0.01,
        label="Initial threshold",
        minimum=1e-6,
        maximum=10.0,
        only_for=("architecture", ("jumprelu",)),
        advanced=True,
        help="Where every latent's threshold starts.",
        source="SAELens jumprelu_init_threshold",
    )
    tanh_scale: float = option(
        4.0,
        label="Tanh scale",
        minimum=0.01,
        maximum=100.0,
        only_for=("l0_loss", ("tanh",)),
        advanced=True,
        help="c in tanh(c · f · ‖W_dec‖): larger comes closer to counting.",
        source="Anthropic, January 2025; SAELens jumprelu_tanh_scale",
    )
    pre_act_coefficient: float = option(
        0.0,
        label="Pre-activation loss",
        minimum=0.0,
        maximum=1.0,
        only_for=("l0_loss", ("tanh",)),
        advanced=True,
        help="Weight of Σ relu(θ − p) ‖W_dec‖ over dead latents, which pulls them back; 0 switches it off.",
        source="Anthropic, January 2025: 3e-6",
    )
    matryoshka_widths: tuple[int, ...] = option(
        (),
        label="Nested widths",
        minimum=1,
        maximum=10**9,
        only_for=("architecture", ("matryoshka",)),
        advanced=True,
        help="Sizes of the nested dictionaries, growing; d_sae is added. Empty: d_sae / 16, / 8, / 4, / 2.",
        source="Bussmann et al. 2025, arXiv:2503.17547",
    )
    skip_rank: int = option(
        8,
        label="Rank of the skip",
        minimum=1,
        maximum=4096,
        only_for=("architecture", ("skip",)),
        advanced=True,
        help="The linear path around the latents has this rank, far below d_in: it cannot copy its input.",
    )
    aux_k: int | None = option(
        None,
        label="AuxK latents",
        minimum=1,
        maximum=10**9,
        only_for=("architecture", TOPK_FAMILY),
        advanced=True,
        help="Dead latents that try to explain the error; empty: d_in / 2.",
        source="Gao et al. 2024; SAELens",
    )
    aux_coefficient: float = option(
        1.0,
        label="AuxK coefficient",
        minimum=0.0,
        maximum=10.0,
        only_for=("architecture", TOPK_FAMILY),
        advanced=True,
        help="Weight of the AuxK loss; 0 switches it off.",
        source="SAELens aux_loss_coefficient",
    )
    decoder: str = option(
        "trained",
        label="Decoder",
        choices=DECODERS,
        advanced=True,
        help="Controls that an SAE worth its name must beat.",
    )
    b_dec_start: str = option(
        "auto",
        label="b_dec starts at",
        choices=B_DEC_STARTS,
        advanced=True,
        help="Activations of language models have a long mean: a start at 0 costs thousands of steps and many latents. Where "
        "the mean is short, a start there takes it away from the frequent features that make it. A transcoder's b_dec belongs "
        "to its output and starts at the mean unless 0 is asked for.",
        source="measured: tests/truth, tests/bench",
    )
    normalize_decoder: bool = option(
        False,
        label="Hold decoder rows at length 1",
        advanced=True,
        help="Each step drops the gradient along a row and brings it back to length 1. The losses here need it not.",
        source="Bricken et al. 2023; off as in SAELens",
    )

    sweep_d_sae: tuple[int, ...] = option(
        (),
        label="Sweep: widths",
        minimum=2,
        maximum=1_048_576,
        advanced=True,
        help="Several values of d_sae, an SAE for each; empty: the one above.",
    )
    sweep_k: tuple[int, ...] = option(
        (),
        label="Sweep: k",
        minimum=1,
        maximum=4096,
        only_for=("architecture", TOPK_FAMILY),
        advanced=True,
        help="Several values of k, an SAE for each; empty: the one above.",
    )
    sweep_coefficient: tuple[float, ...] = option(
        (),
        label="Sweep: coefficients",
        minimum=1e-7,
        maximum=1000.0,
        only_for=("architecture", (*L1_FAMILY, "jumprelu")),
        advanced=True,
        help="Several values of the L1 or L0 coefficient, an SAE for each; empty: the one above.",
    )
    sweep_seeds: tuple[int, ...] = option(
        (),
        label="Sweep: seeds",
        minimum=0,
        maximum=2**31 - 1,
        advanced=True,
        help="Several seeds of the first weights, an SAE for each; the order of tokens stays that of the seed below.",
    )

    steps: int = option(
        2_000,
        label="Steps",
        minimum=1,
        maximum=10_000_000,
        unit="steps",
        help="Optimiser steps; the activations are read again, in another order, as often as needed.",
    )
    batch_size: int = option(
        4096,
        label="Batch size",
        minimum=8,
        maximum=1_048_576,
        unit="tokens",
        help="Tokens in each step.",
        source="SAELens train_batch_size_tokens",
    )
    micro_batch_size: int | None = option(
        None,
        label="Micro-batch",
        minimum=8,
        maximum=10**9,
        unit="tokens",
        advanced=True,
        help="Split a batch into pieces of this size and add up their gradients; empty: whole, halved when memory runs out.",
    )
    learning_rate: float = option(
        3e-4, label="Learning rate", minimum=1e-7, maximum=1.0, help="Peak of the Adam step size.", source="SAELens lr"
    )
    lr_warmup_steps: int = option(
        0,
        label="Learning-rate warm-up",
        minimum=0,
        maximum=10**9,
        unit="steps",
        advanced=True,
        help="Linear growth from 0 at the start.",
    )
    lr_decay: str = option(
        "linear", label="Learning-rate decay", choices=LR_DECAYS, advanced=True, help="The fall over the last part."
    )
    lr_decay_pct: float = option(
        20.0,
        label="Share that decays",
        minimum=0.0,
        maximum=100.0,
        unit="%",
        only_for=("lr_decay", ("linear", "cosine")),
        advanced=True,
        help="The learning rate falls over this last part of training.",
    )
    adam_beta1: float = option(
        0.9, label="Adam β₁", minimum=0.0, maximum=0.999999, advanced=True, help="Decay of the first moment."
    )
    adam_beta2: float = option(
        0.999, label="Adam β₂", minimum=0.0, maximum=0.999999, advanced=True, help="Decay of the second moment."
    )
    adam_eps: float = option(
        1e-8, label="Adam ε", minimum=1e-16, maximum=1.0, advanced=True, help="Added to the root of the second moment."
    )
    weight_decay: float = option(
        0.0,
        label="Weight decay",
        minimum=0.0,
        maximum=10.0,
        advanced=True,
        help="Each step shrinks the rows of encoder and decoder by this share of the learning rate. The losses here need it "
        "not, and latents that fire seldom fade: 0 leaves it out.",
        source="AdamW, Loshchilov & Hutter 2019; 0 as in SAELens",
    )
    clip_grad_norm: float | None = option(
        1.0,
        label="Clip gradient norm",
        minimum=1e-6,
        maximum=1e6,
        advanced=True,
        help="Longest gradient; empty does not clip.",
        source="SAELens clips at 1.0",
    )
    weight_average_decay: float | None = option(
        None,
        label="Average the weights",
        minimum=0.5,
        maximum=0.999999,
        advanced=True,
        help="The SAE gets an exponential average of the weights with this decay, 0.999 say; empty: the last weights.",
        source="Gao et al. 2024",
    )
    normalize_activations: str = option(
        "expected_average_only_in",
        label="Normalise",
        choices=TRAINING_NORMALIZATIONS,
        advanced=True,
        help="How activations are scaled before the SAE sees them.",
        source="SAELens normalize_activations",
    )
    dead_after_tokens: int = option(
        1_000_000,
        label="Dead after",
        minimum=1,
        maximum=10**12,
        unit="tokens",
        advanced=True,
        help="A latent that stayed silent for so many tokens counts as dead.",
    )
    dead_latents: str = option(
        "auto",
        label="Dead latents",
        choices=DEAD_LATENTS,
        advanced=True,
        help="What is done for latents that fire no more.",
        source="Gao et al. 2024; Bricken et al. 2023",
    )
    resample_every: int = option(
        5_000,
        label="Resample every",
        minimum=1,
        maximum=10**9,
        unit="steps",
        only_for=("dead_latents", ("resample",)),
        advanced=True,
        help="Steps between resamplings of dead latents; none in the last quarter of training.",
        source="Bricken et al. 2023",
    )
    checkpoint_every: int = option(
        500,
        label="Checkpoint every",
        minimum=1,
        maximum=10**9,
        unit="steps",
        advanced=True,
        help="Steps between checkpoints.",
    )
    keep_checkpoints: int = option(
        2, label="Keep checkpoints", minimum=1, maximum=1000, advanced=True, help="The newest so many stay."
    )
    ce_contexts: int = option(
        4,
        label="Contexts for CE",
        minimum=0,
        maximum=1024,
        advanced=True,
        help="Held-out contexts on which CE and KL recovered are measured at each checkpoint; 0 leaves it out.",
    )
    log_every: int = option(
        10,
        label="Log every",
        minimum=1,
        maximum=10_000,
        unit="steps",
        advanced=True,
        help="Steps between points of the charts.",
    )
    seed: int = option(
        0,
        label="Seed",
        minimum=0,
        maximum=2**31 - 1,
        advanced=True,
        help="Decides initial weights and the order of tokens.",
    )
    device: str = device_option()

    @classmethod
    def upgrade(cls, values: dict[str, Any], schema: int) -> dict[str, Any]:
        """Schema 1 knew caches only and called the sparsity warm-up l1_warmup_steps."""
        values = dict(values)
        if "l1_warmup_steps" in values:
            values["sparsity_warmup_steps"] = values.pop("l1_warmup_steps")
        return values

    def check(self) -> None:
        _source_check(self)
        _widths_check(self)
        if self.architecture in WITH_LINEAR_PATH and self.normalize_activations in PER_TOKEN:
            raise SpecInvalid(
                "The linear path reads activations as they are; scaling each token cannot be folded into it.",
                "Choose the expected average, or none.",
                field="normalize_activations",
            )
        if len(self.members()) > MOST_MEMBERS:
            raise SpecInvalid(
                f"The sweep has {len(self.members())} SAEs; one training takes {MOST_MEMBERS} at most.",
                "Split it into several runs.",
                field="sweep_d_sae",
            )
        if self.dead_latents == "resample" and self.architecture in TOPK_FAMILY and self.aux_coefficient > 0:
            raise SpecInvalid(
                "Resampling and AuxK would both revive dead latents.",
                "Set the AuxK coefficient to 0, or choose auto.",
                field="dead_latents",
            )

    @property
    def is_transcoder(self) -> bool:
        return self.architecture in TRANSCODERS

    @property
    def coefficient_name(self) -> str:
        """The option that sets the sparsity: "k", "l1_coefficient" or "l0_coefficient"."""
        if self.architecture in TOPK_FAMILY:
            return "k"
        return "l0_coefficient" if self.architecture == "jumprelu" else "l1_coefficient"

    def members(self) -> tuple[Member, ...]:
        """Every SAE of this training: hook sites × widths × sparsities × seeds, in this order."""
        sites = [HookSite.parse(text) for text in self.hook_sites] or [None]
        name = self.coefficient_name
        swept = self.sweep_k if name == "k" else self.sweep_coefficient
        combinations = product(
            sites, self.sweep_d_sae or (self.d_sae,), swept or (getattr(self, name),), self.sweep_seeds or (self.seed,)
        )
        return tuple(
            Member(index=index, hook_site=site, spec=_single(self, site, d_sae, name, sparsity, seed))
            for index, (site, d_sae, sparsity, seed) in enumerate(combinations)
        )


def _single(spec: TrainSpec, site: HookSite | None, d_sae: int, name: str, sparsity: float, seed: int) -> TrainSpec:
    """`spec` for one member: nothing swept, nothing left to check."""
    single = object.__new__(TrainSpec)
    own = {"hook_sites": (str(site),) if site else (), "d_sae": d_sae, name: sparsity, "seed": seed}
    none = {"sweep_d_sae": (), "sweep_k": (), "sweep_coefficient": (), "sweep_seeds": ()}
    single.__dict__.update(spec.__dict__ | none | own)
    return single


def _source_check(spec: TrainSpec) -> None:
    """The named source is there, and the hook sites suit the architecture."""
    needed = ("activation_cache",) if spec.source == "cache" else ("language_model", "tokenization", "hook_sites")
    for name in needed:
        if not getattr(spec, name):
            label = spec.options()[name].label
            raise SpecInvalid(f"{label}: a value is needed.", spec.options()[name].help, field=name)
    for text in spec.hook_sites:
        site = HookSite.parse(text)
        if spec.is_transcoder and site.site != "mlp_in":
            raise SpecInvalid(
                f"A transcoder reads mlp_in; {text} is another site.",
                f"Write {site.layer}.mlp_in, or choose an autoencoder.",
                field="hook_sites",
            )
    if len(set(spec.hook_sites)) < len(spec.hook_sites):
        raise SpecInvalid("A hook site stands there twice.", "Name each once.", field="hook_sites")
    mixing_check(spec.mixing, spec.mixing_weights, 1 + len(spec.more_tokenizations))


def _widths_check(spec: TrainSpec) -> None:
    """k and nested widths fit into every d_sae."""
    smallest = min(spec.sweep_d_sae or (spec.d_sae,))
    if spec.architecture in TOPK_FAMILY:
        largest = max(spec.sweep_k or (spec.k,))
        if largest > smallest:
            raise SpecInvalid(
                f"k = {largest} exceeds d_sae = {smallest}: no token can use more latents than there are.",
                "Choose a k well below d_sae, 1 % of it or less.",
                field="sweep_k" if spec.sweep_k else "k",
            )
    widths = spec.matryoshka_widths
    if widths and (list(widths) != sorted(set(widths)) or widths[-1] > smallest):
        raise SpecInvalid(
            f"The nested widths {', '.join(map(str, widths))} do not grow up to d_sae = {smallest}.",
            "Give growing sizes, none above d_sae.",
            field="matryoshka_widths",
        )


@dataclass(frozen=True, kw_only=True)
class TrainInputs(Inputs):
    """Where activations come from: `cache_dir` when it is set, else the language model on the tokenizations.

    `provenance` is what the rows know of the data; flat keys go to cfg.json.
    """

    cache_dir: str = ""
    hook_site: str = ""
    """That of the cache; members of a text run name their own."""
    sink_threshold: float | None = None
    """That of the cache; text runs measure it."""
    model_dir: str = ""
    """Also with a cache when `ce_contexts` asks for the language model."""
    quantization: str = "auto"
    tokenization_dirs: tuple[str, ...] = ()
    """In the order of tokenization, more_tokenizations."""
    provenance: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainedSae(Record):
    """One SAE of a training. Its folder below out_dir is `folder`: cfg.json, sae_weights.safetensors,
    sparsity.safetensors (SAELens), encode.json (EncodeSpec), provenance.json. Losses, FVU, L0 are means over the last
    `log_every` steps, on training tokens."""

    member: int
    folder: str
    encode: EncodeSpec
    loss: float
    fvu: float
    l0: float
    dead_share: float
    bytes: int
    weights_sha256: str
    calibrated_l0: float | None = None
    """BatchTopK, Matryoshka: L0 with the calibrated threshold on held-out activations."""


@dataclass(frozen=True, kw_only=True)
class TrainResult(Result):
    """What all SAEs of the training share, and one record for each."""

    saes: tuple[TrainedSae, ...]
    steps: int
    tokens: int
    """Tokens each SAE saw, repeats counted."""
    epochs: float
    """How often the activations were read."""
    seconds: float
    tokens_per_s: float
    finished_early: bool = False
    """Stopped by wish before the last step; the SAEs were kept."""
    effective: dict[str, Any] | None = None
    """What was used where the Spec left it open or memory forced another: micro_batch_size, matmul_dtype, lm_dtype, …"""
