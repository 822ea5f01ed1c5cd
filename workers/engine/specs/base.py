"""What a Spec is: a frozen dataclass whose fields carry their own default, range, unit, help and source.

Everything that accepts options reads this one declaration: the Django form, the JSON body, the command line and the
OpenAPI description. A Spec is what the researcher wants; `Inputs` is where the things for it lie on this machine (made
by a runner's `prepare`, never stored); `Result` is what the engine hands back. All three cross the process border as JSON.

A Spec that starts a job also names its kind, queue, title, engine function and whether it can resume. Stored Specs carry
the schema number of their class: `spec_load` upgrades older ones through `upgrade` and refuses newer ones.
"""

import dataclasses
import json
import math
import re
import types
import typing
from dataclasses import MISSING, dataclass, field
from typing import Any, ClassVar, Self

from workers.engine.specs.errors import EngineError, SpecInvalid, SpecTooNew
from workers.engine.specs.type_words import TYPE_WORDS


@dataclass(frozen=True, kw_only=True)
class Option:
    """What is known about one field of a Spec beyond its type; found in the field's metadata under "option"."""

    help: str
    label: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[tuple[str, str], ...] = ()
    """(value, words) pairs."""
    unit: str = ""
    source: str = ""
    """The paper or library the default comes from."""
    pattern: str = ""
    """A regular expression that a string must match whole."""
    reference: str = ""
    """"app.Model" when the value is the id of a row of that model."""
    only_for: tuple[str, tuple[str, ...]] | None = None
    """(field, values): the option matters only while that other field has one of these values."""
    advanced: bool = False
    """Shown behind a disclosure."""
    section: str = ""
    """Title of the disclosure that holds it, where it is not that of the other advanced options."""
    multiline: bool = False
    """A text that spans lines."""
    is_path: bool = False
    """A path on the server's disk."""
    is_needed: bool = False
    """Empty by default, yet asked for whenever the option matters; `Spec.check` insists."""


def option(default: Any = MISSING, **known: Any) -> Any:
    """Declare one field of a Spec; keyword arguments are those of Option. Without `default` the field is required."""
    metadata = {"option": Option(**known)}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


DEVICE_PATTERN = r"auto|cpu|cuda:[0-9]{1,3}"


def device_option() -> Any:
    """The device choice that every heavy job has."""
    return option(
        "auto",
        label="Device",
        pattern=DEVICE_PATTERN,
        help="auto takes the device with the most free memory; cpu or cuda:0, cuda:1, … insist on one.",
        advanced=True,
    )


class Record:
    """JSON in and out for frozen dataclasses, nested ones included."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, field by field."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Rebuild from `to_json`; unknown names raise SpecInvalid."""
        known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(known) - {"schema"})
        if unknown:
            raise SpecInvalid(
                f"{cls.__name__} has no option {', '.join(unknown)}.",
                f"Known options: {', '.join(known)}.",
                field=unknown[0],
            )
        hints = typing.get_type_hints(cls)
        missing = [
            name
            for name, f in known.items()
            if name not in values and f.default is MISSING and f.default_factory is MISSING
        ]
        if missing:
            raise SpecInvalid(f"{', '.join(missing)}: a value is needed.", "Give a value.", field=missing[0])
        return cls(**{name: _build(hints[name], value) for name, value in values.items() if name in known})


def _build(hint: Any, value: Any) -> Any:
    """`value` as the annotated type asks: nested records, tuples for lists, floats for ints."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(hint) if a is not type(None)]
        return None if value is None else _build(inner[0], value)
    if origin is tuple and isinstance(value, list | tuple):
        args = typing.get_args(hint)
        each = args[0] if args else Any
        return tuple(_build(each, v) for v in value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return hint.from_json(value)  # type: ignore[attr-defined]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


@dataclass(frozen=True, kw_only=True)
class Spec(Record):
    """The base of every Spec. Subclasses that start jobs set the class variables below."""

    KIND: ClassVar[str] = ""
    """The job kind: a stem such as "train"."""
    QUEUE: ClassVar[str] = ""
    """gpu, cpu, io or steer."""
    TITLE: ClassVar[str] = ""
    """Words for the jobs page: "Train SAEs"."""
    ENGINE: ClassVar[str] = ""
    """"module:function" below workers.engine, called as function(spec, inputs, progress)."""
    PASSING: ClassVar[bool] = False
    """True for a question whose answer is looked at once: a day later rows and jobs go, and lists of jobs leave it out."""
    RESUMES: ClassVar[bool] = False
    """True when a killed run goes on from its last checkpoint."""
    FINISHES: ClassVar[bool] = False
    """True when it can end early and keep what it has so far."""
    FINISH_WORDS: ClassVar[str] = "Finish now"
    """What the button for that says."""
    SCHEMA: ClassVar[int] = 1

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for f in dataclasses.fields(self):
            known = f.metadata.get("option")
            if known is not None:
                _check(f.name, hints[f.name], known, getattr(self, f.name))
        self.check()

    def check(self) -> None:
        """Rules between options; raise SpecInvalid. The ranges of single options are checked already."""

    @classmethod
    def upgrade(cls, values: dict[str, Any], schema: int) -> dict[str, Any]:
        """Values written under an older `schema`, in today's names. The base has nothing to change."""
        return values

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Field name → Option, in order of declaration."""
        return {f.name: f.metadata["option"] for f in dataclasses.fields(cls) if "option" in f.metadata}

    def to_json(self) -> dict[str, Any]:
        return {"schema": self.SCHEMA, **super().to_json()}


@dataclass(frozen=True, kw_only=True)
class Inputs(Record):
    """Where the things for one job lie on this machine. Made by a runner's `prepare`; never stored in a row."""

    job_dir: str
    """Kept between attempts: checkpoints live here."""
    out_dir: str
    """Empty folder below DATA_DIR/tmp; renamed to its final place when the job succeeds."""
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Result(Record):
    """What an engine function returns: numbers for rows. Large things stay in `out_dir`."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values. EngineError "not_finite" for NaN or infinity, which JSON and databases do not have."""
        values = dataclasses.asdict(self)
        finite_require(values)
        return json.loads(json.dumps(values))


def finite_require(values: Any, where: str = "result") -> None:
    """Raise EngineError "not_finite" that names the first number in `values`, nested as JSON is, that is NaN or infinite."""
    if isinstance(values, float) and not math.isfinite(values):
        raise EngineError(
            f"The number {where} is not finite: {'NaN' if math.isnan(values) else 'infinity'}.",
            "Compute in float32, or choose smaller values; if it stays so, weights or activations are damaged.",
            code="not_finite",
        )
    if isinstance(values, dict):
        for name, value in values.items():
            finite_require(value, f"{where}.{name}")
    elif isinstance(values, list | tuple):
        for place, value in enumerate(values):
            finite_require(value, f"{where}[{place}]")


def spec_load(cls: type[Spec], stored: dict[str, Any]) -> Spec:
    """A Spec from its stored JSON, upgraded when old. Raises SpecTooNew, SpecInvalid."""
    values = dict(stored)
    schema = values.pop("schema", 1)
    if schema > cls.SCHEMA:
        raise SpecTooNew(
            f"{cls.__name__} was saved with schema {schema}; this studio knows up to {cls.SCHEMA}.",
            "Update the studio, or save the settings again from this version.",
        )
    if schema < cls.SCHEMA:
        values = cls.upgrade(values, schema)
    return cls.from_json(values)


def _check(name: str, hint: Any, known: Option, value: Any) -> None:
    """One value against its type; it, or each of several, against range, choices and pattern."""
    allowed = [hint] if typing.get_origin(hint) is None else list(typing.get_args(hint))
    label = known.label or name
    if value is None:
        if type(None) in allowed:
            return
        raise SpecInvalid(f"{label}: a value is needed.", known.help, field=name)
    if float in allowed and isinstance(value, int):
        allowed.append(int)
    plain = tuple(a for a in allowed if isinstance(a, type))
    is_bool_by_mistake = isinstance(value, bool) and bool not in plain
    if typing.get_origin(hint) is not tuple and plain and (not isinstance(value, plain) or is_bool_by_mistake):
        raise SpecInvalid(f"{label}: {value!r} is not {TYPE_WORDS[plain[0]]}.", known.help, field=name)
    for each in value if isinstance(value, tuple) else (value,):
        _check_one(name, label, known, each)


def _check_one(name: str, label: str, known: Option, value: Any) -> None:
    """One plain value, or one of several, against choices, pattern and range."""
    if known.choices and value not in [v for v, _ in known.choices]:
        words = ", ".join(v for v, _ in known.choices)
        raise SpecInvalid(f"{label}: {value!r} is not one of {words}.", known.help, field=name)
    if known.pattern and not re.fullmatch(known.pattern, str(value)):
        raise SpecInvalid(f"{label}: {value!r} has not the form {known.pattern}.", known.help, field=name)
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecInvalid(f"{label}: {value} is no finite number.", known.help, field=name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        unit = f" {known.unit}" if known.unit else ""
        if known.minimum is not None and value < known.minimum:
            raise SpecInvalid(
                f"{label}: {value} is below the least allowed, {known.minimum:g}{unit}.", known.help, field=name
            )
        if known.maximum is not None and value > known.maximum:
            raise SpecInvalid(
                f"{label}: {value} is above the most allowed, {known.maximum:g}{unit}.", known.help, field=name
            )
