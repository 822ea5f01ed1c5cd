"""The Spec of a labeling prompt: what a preset of that kind holds. The other kinds are parts of the Specs of their jobs."""

import re
from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.base import Spec, option
from workers.engine.specs.errors import SpecInvalid

EVIDENCE = ("examples_block", "tokens_table")
"""One of them must stand in the prompt: without evidence there is nothing to label."""
PLACEHOLDERS = (*EVIDENCE, "feature_id", "analysis_block", "top_promoted_tokens", "top_suppressed_tokens")


@dataclass(frozen=True, kw_only=True)
class LabelingPromptSpec(Spec):
    """What a language model is asked when it labels a feature, and how it answers."""

    TITLE: ClassVar[str] = "Labeling prompt"

    system_message: str = option(
        "", label="System message", multiline=True, help="Who the labeling model is told to be."
    )
    user_prompt: str = option(
        label="Prompt",
        multiline=True,
        help="Asked for each feature; {examples_block} or {tokens_table} becomes its evidence. "
        "Also: {feature_id}, {analysis_block}, {top_promoted_tokens}, {top_suppressed_tokens}.",
    )
    max_examples: int = option(10, label="Examples", minimum=1, maximum=100, help="Strongest examples shown.")
    negative_examples: int = option(
        5, label="Silent examples", minimum=0, maximum=100, help="Examples shown on which the feature is silent."
    )
    temperature: float = option(
        0.3, label="Temperature", minimum=0.0, maximum=2.0, help="0 always takes the likeliest token."
    )
    max_tokens: int = option(
        50, label="Longest answer", minimum=10, maximum=9999, unit="tokens", help="The answer is cut there."
    )
    top_p: float = option(
        0.9,
        label="Top p",
        minimum=0.01,
        maximum=1.0,
        advanced=True,
        help="Sample from the likeliest tokens that together reach this probability.",
    )

    def check(self) -> None:
        named = re.findall(r"\{([a-z_]+)\}", self.user_prompt)
        unknown = [name for name in named if name not in PLACEHOLDERS]
        if unknown:
            raise SpecInvalid(
                f"Nothing can be put in for {{{unknown[0]}}}.",
                f"Known: {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}.",
                field="user_prompt",
            )
        if not set(named) & set(EVIDENCE):
            raise SpecInvalid(
                "The prompt shows no evidence of the feature.",
                "Put {examples_block} or {tokens_table} where it belongs.",
                field="user_prompt",
            )
