"""Training runs side by side: which settings differ, and what that did, in a sentence."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.db.models import Model

from apps.core.spec_forms import option_is_idle
from apps.core.templatetags.studio import significant
from apps.training.models import TrainingRun
from apps.training.selectors import member_json
from apps.training.words import ARCHITECTURE_NAMES
from workers.engine.specs.base import spec_load
from workers.engine.specs.training import TrainSpec

MOST_NAMED = 3
"""Of more differences the first ones are named and the others counted."""
REFERENCES = ("activation_cache", "language_model", "tokenization")
"""Options that name a row, by the run's own relations."""
SWEPT = {
    "d_sae": "sweep_d_sae",
    "k": "sweep_k",
    "l1_coefficient": "sweep_coefficient",
    "l0_coefficient": "sweep_coefficient",
}
"""Option → the one that takes its place when it is given."""
MIXING = ("mixing", "mixing_weights")
"""They mean something for several texts only."""
RESULTS = (("FVU", "fvu"), ("L0", "l0"), ("Loss", "loss"), ("Dead latents", "dead_share"))
ALWAYS_SHOWN = ("architecture", "d_sae", "steps", "batch_size", "learning_rate")


@dataclass(frozen=True)
class OptionRow:
    """One option with the value of each run."""

    name: str
    label: str
    unit: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1

    @property
    def words(self) -> list[str]:
        """The values as people read them."""
        known = ARCHITECTURE_NAMES if self.name == "architecture" else {}
        return [known.get(value) or value_words(value) for value in self.values]


def option_rows(runs: Sequence[TrainingRun]) -> list[OptionRow]:
    """Every option of the runs but their names; options without meaning for a run's architecture are None there."""
    specs = [spec_load(TrainSpec, run.spec) for run in runs]
    return [
        OptionRow(name, option.label, option.unit, tuple(_value(run, spec, name) for run, spec in zip(runs, specs)))
        for name, option in TrainSpec.options().items()
        if name != "name"
    ]


def _value(run: TrainingRun, spec: TrainSpec, name: str) -> Any:
    """The option's value; rows that the run was made from by their names and ids, whichever option brought them."""
    if name in REFERENCES:
        row = getattr(run, name)
        return None if row is None else _row_words(row)
    if _is_idle(spec, name):
        return None
    if name == "more_tokenizations":
        texts = run.texts.select_related("tokenization__dataset")
        return tuple(_row_words(text.tokenization) for text in texts) or None
    value = getattr(spec, name)
    return None if value == () else value


def _is_idle(spec: TrainSpec, name: str) -> bool:
    """Whether the option changes nothing in this run: by its `only_for`, or because others take its place."""
    is_replaced = bool(getattr(spec, SWEPT[name])) if name in SWEPT else name in MIXING and not spec.more_tokenizations
    return is_replaced or option_is_idle(TrainSpec.options()[name], vars(spec))


def _row_words(row: Model) -> str:
    return f"{row} ({row.pk})"


@dataclass(frozen=True)
class Settings:
    """The options that mean something in a run: those that somebody chose, and those at their default."""

    chosen: list[OptionRow]
    default: list[OptionRow]


def settings_of(run: TrainingRun) -> Settings:
    """The run's options without its name and what it was made from; those that its other options leave without meaning are
    left out."""
    spec = spec_load(TrainSpec, run.spec)
    defaults = {field.name: None if field.default == () else field.default for field in fields(TrainSpec)}
    idle = {name for name in TrainSpec.options() if _is_idle(spec, name)}
    rows = [row for row in option_rows([run]) if row.name not in (*idle, *REFERENCES, "more_tokenizations")]
    chosen = [row for row in rows if row.name in ALWAYS_SHOWN or row.values[0] != defaults[row.name]]
    return Settings(chosen, [row for row in rows if row not in chosen])


def command_of(run: TrainingRun) -> str:
    """The command that starts the same run again; the name and options with their default are left out."""
    spec, defaults = spec_load(TrainSpec, run.spec), {field.name: field.default for field in fields(TrainSpec)}
    given = {name: getattr(spec, name) for name in TrainSpec.options() if name != "name"}
    words = [_argument(name, value) for name, value in given.items() if value != defaults[name]]
    return " ".join(["manage.py train", *words])


def _argument(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    text = ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    return f"--{flag} {shlex.quote(text)}"


def effective_words(run: TrainingRun) -> list[tuple[str, str]]:
    """What was used where the Spec left it open or memory forced another, for people; empty before the run has finished."""
    known = run.report.get("effective") or {}
    return [
        (name.replace("_", " "), value_words(value)) for name, value in known.items() if not isinstance(value, dict)
    ]


def comparison_json(runs: Sequence[TrainingRun]) -> dict[str, Any]:
    """Results of each run and of its SAEs, {option: [value of each run]} of those that differ, and sentences. The results
    beside a run's name are those of its first SAE."""
    results = ("name", "state", "step", "fvu", "l0", "loss", "dead_share")
    return {
        "runs": [
            {
                "id": run.pk,
                **{n: getattr(run, "job_state" if n == "state" else n) for n in results},
                "members": [member_json(member) for member in run.members.all()],
            }
            for run in runs
        ],
        "differences": {row.name: list(row.values) for row in option_rows(runs) if row.differs} if runs else {},
        "words": comparison_words(runs) if len(runs) > 1 else [],
    }


def comparison_words(runs: Sequence[TrainingRun]) -> list[str]:
    """For each run but the first: "7 … differs from 3 … in L1 coefficient (1 → 2): L0 −38 %, FVU +0.021"."""
    first = runs[0]
    return [f"{run.name} ({run.pk}) {_difference(first, run)}{_effect(first, run)}." for run in runs[1:]]


def _difference(first: TrainingRun, run: TrainingRun) -> str:
    rows = [row for row in option_rows([first, run]) if row.differs]
    against = f"{first.name} ({first.pk})"
    if not rows:
        return f"has the same settings as {against}"
    named = ", ".join(f"{row.label} ({row.words[0]} → {row.words[1]})" for row in rows[:MOST_NAMED])
    if len(rows) > MOST_NAMED:
        return f"differs from {against} in {len(rows)} settings: {named} and {len(rows) - MOST_NAMED} more"
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
    """What became of the difference; "" where a run has several SAEs, none of which stands for all."""
    if any(len(each.members.all()) > 1 for each in (first, run)):
        return ""
    parts = []
    if first.l0 and run.l0 is not None:
        parts.append(f"L0 {100 * (run.l0 / first.l0 - 1):+.0f} %")
    if first.fvu is not None and run.fvu is not None:
        parts.append(f"FVU {run.fvu - first.fvu:+.3f}")
    return ": " + ", ".join(parts).replace("-", "−") if parts else ""
