"""Forms made from Specs: one declaration of each option serves pages, JSON bodies and commands with the same words.

`spec_form(TrainSpec)` is a Django form class. `spec_from_json` feeds a JSON body to it, and the commands of
`spec_arguments` feed their arguments to that. Rules between options stay in `Spec.check`, the last step of `clean`.
"""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import MISSING
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

from django import forms
from django.apps import apps
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db.models import QuerySet

from apps.core.errors import AppError
from apps.core.spec_fields import ListField, MultilineField, NumberField, RecordsField, RowField, RowsField, WholeField
from workers.engine.specs.base import Option, Record, Spec
from workers.engine.specs.errors import SpecInvalid

NEEDED = "A value is needed."
LONGEST_LINE = 200
LONGEST_PATH = 500


class SpecForm(forms.Form):
    """The base of all forms made by `spec_form`; after is_valid(), `spec()` is the Spec."""

    spec_class: ClassVar[type[Spec]]

    def __init__(
        self, data: Any = None, *args: Any, decided: Mapping[str, Any] = MappingProxyType({}), **kwargs: Any
    ) -> None:
        """`decided`: options that are settled already; whatever is sent for them counts for nothing."""
        super().__init__(data, *args, **kwargs)
        self.decided = frozenset(decided)
        for name, value in decided.items():
            self.fields[name] = forms.Field(initial=value, required=False, disabled=True)
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
            if option_is_idle(option, values):
                self.errors.pop(name, None)
                values[name] = self.fields[name].initial
            elif option.is_needed and not values.get(name) and name not in self.errors:
                self.add_error(name, NEEDED)
        if not self.errors:
            try:
                self._spec = self.spec_class(**values)
            except SpecInvalid as error:
                words = f"{error.message} {error.hint}".strip()
                self.add_error(error.field if error.field in self.fields else None, words)
        return values

    def spec(self) -> Spec:
        """The valid Spec; call after is_valid()."""
        return self._spec

    @property
    def basic_fields(self) -> list[forms.BoundField]:
        """Fields that everybody sees."""
        return self._fields_where(is_advanced=False)

    @property
    def advanced_fields(self) -> list[forms.BoundField]:
        """Fields behind the disclosure."""
        return self._fields_where(is_advanced=True)

    @property
    def folded_sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The advanced fields by the title of their disclosure, "" for most; in the order of the Spec."""
        options, sections = self.spec_class.options(), {}
        for field in self.advanced_fields:
            sections.setdefault(options[field.name].section, []).append(field)
        return list(sections.items())

    def _fields_where(self, *, is_advanced: bool) -> list[forms.BoundField]:
        options = self.spec_class.options().items()
        return [self[name] for name, option in options if option.advanced == is_advanced and name not in self.decided]


def option_is_idle(option: Option, values: Mapping[str, Any]) -> bool:
    """Whether an option has no meaning beside the other `values`. Those must have the option's `only_for` settled."""
    if option.only_for is None:
        return False
    other, wanted = option.only_for
    return other in values and str(values[other]) not in wanted


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
        number = WholeField if kind is int else NumberField
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
    unit = f" {option.unit}".replace("%", "%%") if option.unit else ""  # Django puts the limits into it by %
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
    return form_from_json(spec_class, body).spec()


def form_from_json(spec_class: type[Spec], body: Any, *, decided: Mapping[str, Any] = MappingProxyType({})) -> SpecForm:
    """The valid form of a JSON object, with some options `decided`. AppError "spec_invalid" as for `spec_from_json`."""
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
        _shape_check(given.get(name), field, name, options[name])
    form = form_class(given, decided=decided)
    if form.is_valid():
        return form
    raise _refusal(form)


def _shape_check(value: Any, field: forms.Field, name: str, option: Option) -> None:
    """A JSON value is plain, true or false, or a list, as its option asks."""
    takes_several = isinstance(field, RecordsField | RowsField | ListField)
    if isinstance(field, forms.BooleanField):
        refused = "" if isinstance(value, bool) else "This is neither true nor false."
    elif takes_several:
        refused = "This is not a list." if isinstance(value, dict | bool) else ""
    else:
        refused = "This is not one plain value." if isinstance(value, list | dict | bool) else ""
    if refused:
        raise AppError("spec_invalid", f"{option.label}: {refused}", option.help, field=name)


def _refusal(form: SpecForm) -> AppError:
    """All that is wrong with a form in one error, whose field is the first at fault."""
    options = form.spec_class.options()
    words = [
        f"{options[name].label}: {' '.join(errors)}" if name in options else " ".join(errors)
        for name, errors in form.errors.items()
    ]
    first = next(iter(form.errors))
    known = options.get(first)
    return AppError("spec_invalid", " ".join(words), known.help if known else "", field=first if known else "")
