"""Forms made from Specs: one declaration of each option serves pages, JSON bodies and commands with the same words.

`spec_form(TrainSpec)` is a Django form class. `spec_from_json` feeds a JSON body to it, and the commands of
`spec_arguments` feed their arguments to that. Rules between options stay in `Spec.check`, the last step of `clean`.
"""

import dataclasses
import typing
from dataclasses import MISSING
from functools import cache
from typing import Any, ClassVar

from django import forms
from django.apps import apps
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db.models import QuerySet

from apps.core.errors import AppError
from apps.core.spec_fields import ListField, MultilineField, NumberField, RecordsField, RowField, RowsField
from workers.engine.specs.base import Option, Record, Spec
from workers.engine.specs.errors import SpecInvalid

NEEDED = "A value is needed."
LONGEST_LINE = 200
LONGEST_PATH = 500


class SpecForm(forms.Form):
    """The base of all forms made by `spec_form`; after is_valid(), `spec()` is the Spec."""

    spec_class: ClassVar[type[Spec]]

    def __init__(self, data: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(data, *args, **kwargs)
        if data is not None:
            self.data = self._with_defaults(data)

    def rows_preselect(self) -> None:
        """For an empty form: a needed row is preselected when there is no other to choose."""
        for name, field in self.fields.items():
            is_needed = field.required or getattr(field, "is_needed", False)
            if isinstance(field, RowField) and is_needed and self.initial.get(name) is None:
                self.initial[name] = field.only_row()

    def _with_defaults(self, data: Any) -> Any:
        """Options that the sender left out take their defaults; an unticked checkbox is no omission."""
        full = data.copy()
        for name, field in self.fields.items():
            key = self.add_prefix(name)
            if field.initial is not None and field.widget.value_omitted_from_data(full, self.files, key):
                full[key] = field.prepare_value(field.initial)
        return full

    def clean(self) -> dict[str, Any]:
        """Build the Spec. Options without meaning for the chosen others take their default, whatever was sent."""
        values = dict(super().clean() or self.cleaned_data)
        for name, option in self.spec_class.options().items():
            if self._is_idle(option):
                self.errors.pop(name, None)
                values[name] = self.fields[name].initial
        if not self.errors:
            try:
                self._spec = self.spec_class(**values)
            except SpecInvalid as error:
                words = f"{error.message} {error.hint}".strip()
                self.add_error(error.field if error.field in self.fields else None, words)
        return values

    def _is_idle(self, option: Option) -> bool:
        if option.only_for is None:
            return False
        other, wanted = option.only_for
        return other in self.cleaned_data and str(self.cleaned_data[other]) not in wanted

    def spec(self) -> Spec:
        """The valid Spec; call after is_valid()."""
        return self._spec

    @property
    def basic_fields(self) -> list[forms.BoundField]:
        """Fields that everybody sees."""
        return [self[name] for name, option in self.spec_class.options().items() if not option.advanced]

    @property
    def advanced_fields(self) -> list[forms.BoundField]:
        """Fields behind the disclosure."""
        return [self[name] for name, option in self.spec_class.options().items() if option.advanced]


@cache
def spec_form(spec_class: type[Spec]) -> type[SpecForm]:
    """The form class for a Spec class: a field for each option, with its label, help, range, unit and default."""
    hints = typing.get_type_hints(spec_class)
    defaults = {f.name: f.default for f in dataclasses.fields(spec_class)}
    fields = {name: _field(hints[name], option, defaults[name]) for name, option in spec_class.options().items()}
    name = f"{spec_class.__name__.removesuffix('Spec')}Form"
    return type(name, (SpecForm,), {"spec_class": spec_class, "__doc__": spec_class.__doc__, **fields})


def _field(hint: Any, option: Option, default: Any) -> forms.Field:
    """One form field; `only_for`, `unit`, `source` and `is_needed` are left on it for the templates."""
    inner = [a for a in typing.get_args(hint) if a is not type(None)] if type(None) in typing.get_args(hint) else [hint]
    is_optional = hint is not inner[0]
    common = {
        "label": option.label,
        "help_text": option.help,
        "initial": None if default is MISSING else default,
        "required": not is_optional and default not in ("", ()),
        "error_messages": {"required": NEEDED},
    }
    field = _typed_field(inner[0], option, common)
    field.only_for, field.unit, field.source = option.only_for, option.unit, option.source
    field.is_needed = option.is_needed
    return field


def _typed_field(kind: Any, option: Option, common: dict[str, Any]) -> forms.Field:
    """The field class for a Python type and its Option."""
    if typing.get_origin(kind) is tuple:
        return _several_field(typing.get_args(kind)[0], option, common)
    if option.reference:
        return RowField(queryset=ready_rows(option.reference), **common)
    if option.choices:
        return forms.ChoiceField(choices=option.choices, **common)
    if kind is bool:
        return forms.BooleanField(**common | {"required": False})
    if kind in (int, float):
        number = forms.IntegerField if kind is int else NumberField
        field = number(min_value=option.minimum, max_value=option.maximum, **common)
        _word_limits(field, option)
        return field
    if option.multiline:
        return MultilineField(**common)
    validators = (
        [RegexValidator(rf"\A(?:{option.pattern})\Z", "This has not the right form.")] if option.pattern else []
    )
    # A pattern says itself how long the text may be.
    longest = None if option.pattern else LONGEST_PATH if option.is_path else LONGEST_LINE
    return forms.CharField(max_length=longest, validators=validators, **common)


def _several_field(kind: type, option: Option, common: dict[str, Any]) -> forms.Field:
    """The field for a tuple of rows, of small Records, or of plain values."""
    if option.reference:
        return RowsField(queryset=ready_rows(option.reference), **common)
    if issubclass(kind, Record):
        return RecordsField(record=kind, **common)
    return ListField(each=_typed_field(kind, option, {"error_messages": common["error_messages"]}), **common)


def _word_limits(field: forms.Field, option: Option) -> None:
    """Say the limits with their unit, in one sentence for page, API and command."""
    unit = f" {option.unit}" if option.unit else ""
    for validator in field.validators:
        if isinstance(validator, MinValueValidator):
            validator.message = f"The least allowed is {_plain(option.minimum)}{unit}."
        elif isinstance(validator, MaxValueValidator):
            validator.message = f"The most allowed is {_plain(option.maximum)}{unit}."


def _plain(limit: float) -> str:
    return f"{int(limit):,}" if float(limit).is_integer() else f"{limit:g}"


def ready_rows(reference: str) -> QuerySet:
    """Rows of "app.Model" that can be worked with: those with `ready_at` set, where the model has it."""
    model = apps.get_model(reference)
    rows = model._default_manager.all()
    has_ready = any(f.name == "ready_at" for f in model._meta.get_fields())
    return rows.filter(ready_at__isnull=False) if has_ready else rows


def spec_from_json(spec_class: type[Spec], body: Any) -> Any:
    """The Spec that a JSON object asks for. AppError "spec_invalid" with `field` for unknown names and bad values."""
    if not isinstance(body, dict):
        raise AppError("spec_invalid", "The body is not a JSON object.", "Send {…} with the options by name.")
    options = spec_class.options()
    unknown = sorted(set(body) - set(options) - {"schema"})
    if unknown:
        words = f"{spec_class.TITLE or spec_class.__name__} has no option {', '.join(unknown)}."
        raise AppError("spec_invalid", words, f"Known options: {', '.join(options)}.", field=unknown[0])
    form_class = spec_form(spec_class)
    given = {name: value for name, value in body.items() if name in options}
    for name, field in form_class.base_fields.items():
        if isinstance(field, forms.BooleanField):
            given.setdefault(name, field.initial)
            _require(isinstance(given[name], bool), name, options[name], "This is neither true nor false.")
        elif isinstance(given.get(name), list | dict | bool):
            takes_several = isinstance(field, RecordsField | RowsField | ListField)
            _require(takes_several, name, options[name], "This is not one plain value.")
    form = form_class(given)
    if form.is_valid():
        return form.spec()
    words = [
        f"{options[name].label}: {' '.join(errors)}" if name in options else " ".join(errors)
        for name, errors in form.errors.items()
    ]
    first = next(iter(form.errors))
    known = options.get(first)
    raise AppError("spec_invalid", " ".join(words), known.help if known else "", field=first if known else "")


def _require(holds: bool, name: str, option: Option, words: str) -> None:
    if not holds:
        raise AppError("spec_invalid", f"{option.label}: {words}", option.help, field=name)
