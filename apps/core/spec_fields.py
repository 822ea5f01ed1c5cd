"""Form fields that Specs need beyond Django's own."""

import dataclasses
import typing
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model

from apps.core.asking import LARGEST_WHOLE, number_or_none, shown, whole_or_none
from workers.engine.specs.base import Record


class RowField(forms.ModelChoiceField):
    """A choice among rows; its value is the row's id, as Specs hold it."""

    default_error_messages = {"invalid_choice": "There is nothing ready with the id %(value)s."}

    def only_row(self) -> int | None:
        """The id of the row, when there is but one to choose."""
        found = list(self.queryset.values_list("pk", flat=True)[:2])
        return found[0] if len(found) == 1 else None

    def clean(self, value: Any) -> int | None:
        if value not in self.empty_values and whole_or_none(value) is None:
            params = {"value": shown(value)}
            raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice", params=params)
        row: Model | None = super().clean(value)
        return None if row is None else row.pk


class RowsField(forms.ModelMultipleChoiceField):
    """Several rows, as checkboxes; its value is the tuple of their ids, in the order in which they were sent.

    A command and a link give them as text: "3, 5".
    """

    widget = forms.CheckboxSelectMultiple
    default_error_messages = {
        "invalid_choice": "There is nothing ready with the id %(value)s.",
        "invalid_pk_value": "There is nothing ready with the id %(pk)s.",
    }

    def prepare_value(self, value: Any) -> Any:
        """Text as the list that the checkboxes want."""
        return super().prepare_value(_pieces(value) if isinstance(value, str) else value)

    def clean(self, value: Any) -> tuple[int, ...]:
        given = _pieces(",".join(map(str, value)) if isinstance(value, list | tuple) else str(value or ""))
        for pk in given:
            if whole_or_none(pk) is None:
                params = {"value": shown(pk)}
                raise ValidationError(self.error_messages["invalid_choice"], code="invalid_choice", params=params)
        found = {row.pk for row in super().clean(given)}
        return tuple(pk for pk in dict.fromkeys(map(int, given)) if pk in found)


class ListField(forms.CharField):
    """Several plain values as text, "16, 32, 64"; a JSON list does as well. `each` is the field of one value."""

    def __init__(self, *, each: forms.Field, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.each = each

    def prepare_value(self, value: Any) -> Any:
        """Values as text; what the researcher typed stays as it is."""
        if not isinstance(value, list | tuple):
            return value
        return ", ".join(str(self.each.prepare_value(each)) for each in value)

    def clean(self, value: Any) -> tuple[Any, ...]:
        pieces = [str(piece) for piece in value] if isinstance(value, list | tuple) else _pieces(super().clean(value))
        return tuple(self._one(piece) for piece in pieces)

    def _one(self, piece: str) -> Any:
        """One value; a refusal names it."""
        try:
            return self.each.clean(piece)
        except ValidationError as error:
            raise ValidationError([f"{piece}: {words}" for words in error.messages]) from None


def _pieces(text: str) -> list[str]:
    """ "3, 5" as ["3", "5"]."""
    return [piece.strip() for piece in text.split(",") if piece.strip()]


class WholeField(forms.IntegerField):
    """A whole number that a row can hold."""

    default_error_messages = {"too_large": f"Whole numbers end at {LARGEST_WHOLE:,}."}

    def to_python(self, value: Any) -> int | None:
        number = super().to_python(value)
        if number is not None and abs(number) > LARGEST_WHOLE:
            raise ValidationError(self.error_messages["too_large"], code="too_large")
        return number


class NumberField(forms.FloatField):
    """A number shown without a needless fraction: 20, not 20.0."""

    def prepare_value(self, value: Any) -> Any:
        return f"{value:.12g}" if isinstance(value, float) else value


class MultilineField(forms.CharField):
    """Text that spans lines, kept to the letter: no stripping, and line ends as they were typed, without browsers' \\r."""

    widget = forms.Textarea(attrs={"rows": 4})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)

    def to_python(self, value: Any) -> str:
        return super().to_python(value).replace("\r\n", "\n")


def _number(kind: type, value: Any) -> Any:
    """A finite number of a Record, whole where its type is int; ValueError otherwise."""
    number = whole_or_none(value) if kind is int else number_or_none(value)
    if number is None:
        raise ValueError
    return number


def record_words(values: Iterable[float]) -> str:
    """A small Record as text: "12:4"."""
    return ":".join(f"{value:.12g}" for value in values)


class RecordsField(forms.CharField):
    """Several small Records as text, "12:4, 77:-2" for (index, strength) pairs; a list of JSON objects does as well."""

    default_error_messages = {"form": "%(piece)s has not the form %(form)s."}

    def __init__(self, *, record: type[Record], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.record = record
        self.kinds = {f.name: typing.get_type_hints(record)[f.name] for f in dataclasses.fields(record)}

    def prepare_value(self, value: Any) -> Any:
        """Records as text; what the researcher typed stays as it is."""
        if not isinstance(value, list | tuple):
            return value
        rows = [r if isinstance(r, dict) else dataclasses.asdict(r) for r in value]
        return ", ".join(record_words([row[name] for name in self.kinds]) for row in rows)

    def clean(self, value: Any) -> tuple[Record, ...]:
        if isinstance(value, list | tuple):
            return tuple(self._from_json(piece) for piece in value)
        text = super().clean(value)
        return tuple(self._from_text(piece.strip()) for piece in text.split(",") if piece.strip())

    def _from_text(self, piece: str) -> Record:
        parts = piece.split(":")
        if len(parts) != len(self.kinds):
            raise self._misshapen(piece)
        return self._from_json(dict(zip(self.kinds, parts)))

    def _from_json(self, values: Any) -> Record:
        if isinstance(values, self.record):
            return values
        if not isinstance(values, dict) or set(values) != set(self.kinds):
            raise self._misshapen(values)
        try:
            return self.record(**{name: _number(kind, values[name]) for name, kind in self.kinds.items()})
        except ValueError:
            raise self._misshapen(values) from None

    def _misshapen(self, piece: Any) -> ValidationError:
        form = ":".join(self.kinds)
        return ValidationError(self.error_messages["form"], code="form", params={"piece": shown(piece), "form": form})
