"""What every Spec and Result keeps: numbers in ranges, and finite."""

import typing
from dataclasses import dataclass

import pytest

from workers.engine.progress import Progress
from workers.engine.specs.base import Option, Record, Result, Spec, option
from workers.engine.specs.errors import EngineError, SpecInvalid
from workers.engine.specs.kinds import SPECS
from workers.engine.specs.presets import LabelingPromptSpec


def numbers() -> list[tuple[type[Spec], str, Option]]:
    """Every option of every Spec that holds a number and no row's id."""
    found = []
    for spec in dict.fromkeys([*SPECS.values(), LabelingPromptSpec]):
        hints = typing.get_type_hints(spec)
        for name, known in spec.options().items():
            types = {hints[name], *typing.get_args(hints[name])}
            if types & {int, float} and not known.reference and not known.choices:
                found.append((spec, name, known))
    return found


@pytest.mark.parametrize(
    ("spec", "name", "known"), [pytest.param(*each, id=f"{each[0].__name__}.{each[1]}") for each in numbers()]
)
def test_every_number_has_a_least_and_a_most(spec, name, known):
    assert known.minimum is not None and known.maximum is not None
    assert known.minimum < known.maximum < 1e16


@dataclass(frozen=True, kw_only=True)
class Weighed(Spec):
    weight: float = option(1.0, label="Weight", minimum=0.0, maximum=10.0, help="A number.")
    weights: tuple[float, ...] = option((), label="Weights", minimum=0.0, maximum=10.0, help="Some numbers.")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10.5])
def test_a_number_that_is_none_is_no_option(value):
    for values in ({"weight": value}, {"weights": (1.0, value)}):
        with pytest.raises(SpecInvalid) as refused:
            Weighed(**values)
        assert refused.value.field == next(iter(values))


@dataclass(frozen=True, kw_only=True)
class Part(Record):
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Measured(Result):
    loss: float | None
    parts: tuple[Part, ...] = ()


def test_a_result_is_plain_json():
    assert Measured(loss=None, parts=(Part(values=(1.0, 2.0)),)).to_json() == {
        "loss": None,
        "parts": [{"values": [1.0, 2.0]}],
    }


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Measured(loss=float("nan")), "result.loss is not finite: NaN"),
        (
            Measured(loss=1.0, parts=(Part(values=(1.0, float("-inf"))),)),
            r"result.parts\[0\].values\[1\] is not finite: infinity",
        ),
    ],
)
def test_a_result_that_is_not_finite_names_the_number(result, words):
    with pytest.raises(EngineError, match=words) as refused:
        result.to_json()
    assert refused.value.code == "not_finite" and refused.value.hint


def test_a_point_of_a_chart_or_a_checkpoint_that_is_not_finite_is_never_told():
    progress = Progress()
    with pytest.raises(EngineError, match=r"metrics of step 7\.fvu"):
        progress.metrics(7, loss=1.0, fvu=float("nan"))
    with pytest.raises(EngineError, match=r"checkpoint of step 8\.0\.loss"):
        progress.checkpoint(8, "checkpoints/8", 100, **{"0": {"loss": float("inf")}})
    assert progress.lines == []
    progress.metrics(9, loss=1.0, density_histogram=[1, 2])
    assert len(progress.lines) == 1
