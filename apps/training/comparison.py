"""Training runs side by side: which settings differ, and what that did, in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.templatetags.studio import significant
from apps.training.models import TrainingRun
from workers.engine.specs.base import spec_load
from workers.engine.specs.training import TrainSpec

MOST_NAMED = 3
"""More differences than these are counted, not named."""


@dataclass(frozen=True)
class OptionRow:
    """One option with the value of each run."""

    label: str
    unit: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1

    @property
    def words(self) -> list[str]:
        """The values as people read them."""
        return [value_words(value) for value in self.values]


def option_rows(runs: Sequence[TrainingRun]) -> list[OptionRow]:
    """Every option of the runs but their names; options without meaning for a run's architecture are None there."""
    specs = [spec_load(TrainSpec, run.spec) for run in runs]
    caches = tuple(
        f"{run.activation_cache} ({run.activation_cache_id})" if run.activation_cache else None for run in runs
    )
    rows = [
        OptionRow(option.label, option.unit, tuple(_value(spec, name) for spec in specs))
        for name, option in TrainSpec.options().items()
        if name not in ("name", "activation_cache")
    ]
    return [OptionRow("Activation cache", "", caches), *rows]


def _value(spec: TrainSpec, name: str) -> Any:
    only_for = TrainSpec.options()[name].only_for
    if only_for is not None and getattr(spec, only_for[0]) not in only_for[1]:
        return None
    return getattr(spec, name)


def effective_words(run: TrainingRun) -> list[tuple[str, str]]:
    """What was used where the Spec left it open or memory forced another, for people; empty before the run has finished."""
    known = run.report.get("effective") or {}
    return [
        (name.replace("_", " "), value_words(value)) for name, value in known.items() if not isinstance(value, dict)
    ]


def comparison_words(runs: Sequence[TrainingRun]) -> list[str]:
    """For each run but the first: "7 … differs from 3 … in L1 coefficient (1 → 2): L0 −38 %, FVU +0.021"."""
    first = runs[0]
    return [f"{run.name} ({run.pk}) {_difference(first, run)}{_effect(first, run)}." for run in runs[1:]]


def _difference(first: TrainingRun, run: TrainingRun) -> str:
    rows = [row for row in option_rows([first, run]) if row.differs]
    against = f"{first.name} ({first.pk})"
    if not rows:
        return f"has the same settings as {against}"
    if len(rows) > MOST_NAMED:
        return f"differs from {against} in {len(rows)} settings"
    named = ", ".join(f"{row.label} ({row.words[0]} → {row.words[1]})" for row in rows)
    return f"differs from {against} only in {named}"


def value_words(value: Any) -> str:
    """An option's value as people read it: 1,000,000; 0.0003; none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value_words(each) for each in value) or "–"
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value is None else significant(value) if isinstance(value, float) else str(value)


def _effect(first: TrainingRun, run: TrainingRun) -> str:
    parts = []
    if first.l0 and run.l0 is not None:
        parts.append(f"L0 {100 * (run.l0 / first.l0 - 1):+.0f} %")
    if first.fvu is not None and run.fvu is not None:
        parts.append(f"FVU {run.fvu - first.fvu:+.3f}")
    return ": " + ", ".join(parts).replace("-", "−") if parts else ""
