"""Forms of datasets beyond what their Specs declare: a file sent along, choices that a look-up found, marks on a row."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.urls import reverse

from apps.core.errors import AppError
from apps.core.pages import form_refuse
from apps.core.sources import free_name
from apps.core.spec_forms import spec_form
from apps.core.templatetags.studio import bytes_words, compact
from apps.datasets.models import Dataset
from apps.datasets.uploads import upload_store
from workers.engine.specs.datasets import FILE_FORMATS, DatasetImportSpec


class DatasetImportForm(spec_form(DatasetImportSpec)):  # type: ignore[misc]
    """The import form of the page: a file may be sent with it, and what a look-up found is there to choose.

    `found` is the JSON of a DatasetLookupResult.
    """

    def __init__(self, *args: Any, found: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["upload"] = _file_field(self.fields["upload"])
        if found:
            self._offer("config", _config_choices(found))
            self.fields["config"].widget.attrs |= {"hx-post": reverse("datasets:lookup"), "hx-vals": '{"again": "1"}'}
            self._offer("split", [(split["name"], _split_words(split)) for split in found["splits"]])
            kinds = zip(found["columns"], found["column_types"])
            usual = ("", f"as the studio chooses: {found['text_column'] or 'none'}")
            self._offer("text_column", [usual, *[(name, f"{name} ({kind})") for name, kind in kinds]])

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        """Choose from a list; the option itself stays a text."""
        self.fields[name].widget = forms.Select(choices=choices)

    def clean(self) -> dict[str, Any]:
        """Keep the file that was sent; its name in uploads/ is the option's value, its own names the dataset.

        Beside other errors it is not kept, which is no error of its own.
        """
        values = self.cleaned_data
        file, values["upload"] = values.get("upload"), ""
        is_passed_over = bool(file and self.errors)
        if file and values.get("source") == "upload" and not self.errors:
            values["name"] = values["name"] or free_name(Dataset, file.name)
            try:
                values["upload"] = upload_store(file)
            except AppError as error:
                form_refuse(self, error)
        values = super().clean()
        if is_passed_over:
            self.errors.pop("upload", None)
        return values


def _config_choices(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The configurations of a look-up; a repository with one has no name for it."""
    if not found["config"]:
        return [("", "the only one")]
    return [(name, name) for name in found["configs"]]


def _split_words(split: Mapping[str, Any]) -> str:
    rows = "" if split["rows"] is None else f"{compact(split['rows'])} rows"
    size = "" if split["bytes"] is None else bytes_words(split["bytes"])
    known = ", ".join(part for part in (rows, size) if part)
    return f"{split['name']} ({known})" if known else split["name"]


def _file_field(plain: forms.Field) -> forms.FileField:
    """A file to choose, with the words of the Spec's option."""
    words = f"{plain.help_text} At most {bytes_words(settings.UPLOAD_MAX_BYTES)}."
    field = forms.FileField(label=plain.label, help_text=words, required=False, initial="", allow_empty_file=True)
    field.widget.attrs["accept"] = ",".join(FILE_FORMATS)
    field.only_for, field.unit, field.source, field.is_needed = plain.only_for, "", "", plain.is_needed
    return field


class RowMarkForm(forms.Form):
    """What a curator marks on one row."""

    excluded = forms.BooleanField(
        label="Leave this row out of new tokenizations", required=False, help_text="It stays in the dataset."
    )
    tags = forms.CharField(label="Tags", max_length=200, required=False, help_text="Words separated by commas.")
    text = forms.CharField(
        label="Text in place of the row's own",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8}),
        help_text="Used by new tokenizations; empty: the row's own text. The stored row does not change.",
    )
    note = forms.CharField(label="Note", required=False, widget=forms.Textarea(attrs={"rows": 2}))
