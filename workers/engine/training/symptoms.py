"""What the numbers of a run warn of while it learns: latents that died, an L0 far above what is meant, an L0 near nothing.

Each symptom is told once for each SAE and attempt, in one sentence for all SAEs that show it at the same point.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workers.engine.progress import Progress
from workers.engine.specs.training import TOPK_FAMILY, Member, TrainSpec

MANY_DEAD, MOST_DEAD = 0.5, 0.7
"""Shares of the latents."""
ABOVE_TARGET = 3.0
"""Times the target of the quadratic loss."""
DENSE_SHARE = 0.2
"""Of the latents: an L0 beyond is not sparse."""
LEAST_L0 = 1.0
LEARNT_SHARE = 0.25
"""Of the steps: before, an L0 that is still falling says nothing."""


class Symptoms:
    """Watches the points of the charts of one attempt."""

    def __init__(self, spec: TrainSpec, progress: Progress) -> None:
        self._spec, self._progress = spec, progress
        self._told: set[tuple[int, str]] = set()

    def look(self, step: int, members: Sequence[Member], metrics: Sequence[Mapping[str, Any]]) -> None:
        """Tell what the newest metrics of the members show for the first time."""
        found: dict[str, list[tuple[int, str]]] = {}
        for member, values in zip(members, metrics):
            for kind, words in _symptoms(step, member.spec, values):
                if (member.index, kind) not in self._told:
                    self._told.add((member.index, kind))
                    found.setdefault(kind, []).append((member.index, words))
        for shown in found.values():
            self._progress.event(f"Step {step:,}: {_sentence(shown, len(members))}", level="warning")


def _symptoms(step: int, spec: TrainSpec, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, words) of each symptom that the values show; of dead latents the two grades are kinds of their own."""
    dead = values["dead_share"]
    if dead > MANY_DEAD:
        kind = "most dead" if dead > MOST_DEAD else "many dead"
        yield kind, f"{dead:.0%} of the latents have not fired for {spec.dead_after_tokens:,} tokens. {_revival(spec)}"
    is_settled = step >= max(2 * spec.sparsity_warmup_steps, LEARNT_SHARE * spec.steps)
    if is_settled and spec.architecture not in TOPK_FAMILY:
        yield from _of_l0(spec, values["l0"])


def _of_l0(spec: TrainSpec, l0: float) -> Iterator[tuple[str, str]]:
    coefficient = spec.options()[spec.coefficient_name].label
    has_target = spec.architecture == "jumprelu" and spec.l0_loss == "quadratic"
    if has_target and l0 > ABOVE_TARGET * spec.target_l0:
        words = f"L0 is {l0:,.0f}, {l0 / spec.target_l0:.1f} times the target of {spec.target_l0:g}."
        yield "far above", f"{words} A larger {coefficient}, or more steps, bring it down."
    elif l0 > DENSE_SHARE * spec.d_sae:
        yield "dense", f"L0 is {l0:,.0f}, {l0 / spec.d_sae:.0%} of all latents. A larger {coefficient} makes it sparse."
    elif l0 < LEAST_L0:
        words = f"L0 is {l0:.2f}: fewer than one latent fires for a token."
        yield "empty", f"{words} A smaller {coefficient} lets more of them live."


def _revival(spec: TrainSpec) -> str:
    """What may help, as far as it is not done already."""
    if spec.architecture in TOPK_FAMILY:
        has_aux = spec.dead_latents == "auto" and spec.aux_coefficient > 0
        return "A smaller d_sae or a larger k lets fewer die." if has_aux else "AuxK brings some of them back."
    if spec.dead_latents == "resample":
        return "A smaller d_sae or a smaller learning rate lets fewer die."
    return "Resampling, or a smaller coefficient, brings some of them back."


def _sentence(shown: Sequence[tuple[int, str]], members: int) -> str:
    """The words of one SAE; of several the first one's, and which others show the same."""
    (index, words), *others = shown
    if members == 1:
        return words
    rest = f" The same in {', '.join(str(other) for other, _ in others)}." if others else ""
    return f"SAE {index}: {words}{rest}"
