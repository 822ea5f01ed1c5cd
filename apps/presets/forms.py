"""Forms of presets: name and description beside the options of the kind, and the file to import."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

from apps.core.asking import json_read
from apps.core.errors import AppError
from apps.presets.services import LONGEST_DESCRIPTION, LONGEST_NAME

LARGEST_FILE_BYTES = 2**20


class WordsForm(forms.Form):
    """Name and description. The names of the fields stay clear of those of options."""

    preset_name = forms.CharField(
        label="Name", max_length=LONGEST_NAME, error_messages={"required": "A value is needed."}
    )
    preset_description = forms.CharField(
        label="Description",
        required=False,
        max_length=LONGEST_DESCRIPTION,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What it is good for, and what to mind.",
    )

    def words(self) -> dict[str, str]:
        """Name and description as services take them; call after is_valid()."""
        return {"name": self.cleaned_data["preset_name"], "description": self.cleaned_data["preset_description"]}


class ImportForm(forms.Form):
    """An exported file, and what happens when a name is taken."""

    file = forms.FileField(
        label="File",
        help_text="JSON as templates are exported, one or many in a file.",
        widget=forms.FileInput(attrs={"accept": ".json,application/json"}),
        error_messages={"required": "Choose a file.", "empty": "The file is empty."},
    )
    on_clash = forms.ChoiceField(
        label="When a name is taken",
        choices=[("rename", "Number the new one"), ("refuse", "Import nothing")],
        initial="rename",
    )

    def clean_file(self) -> Any:
        """The parsed JSON of the file."""
        file: UploadedFile = self.cleaned_data["file"]
        if file.size is not None and file.size > LARGEST_FILE_BYTES:
            raise ValidationError("The file is larger than 1 MiB: it holds something else than templates.")
        try:
            return json_read(file.read())
        except AppError as error:
            raise ValidationError(f"{error.message} {error.hint}") from None
