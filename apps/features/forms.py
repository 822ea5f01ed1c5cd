"""Forms about features: the filter that page, API and command share, and the words that people give."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from apps.core.errors import AppError
from apps.features.areas import AreaField, area_narrow
from apps.features.models import Feature
from apps.features.selectors import SORT_CHOICES, feature_list
from apps.features.services import MOST_CATEGORY_CHARACTERS, MOST_LABEL_CHARACTERS, MOST_NOTES_CHARACTERS


class FeatureFilterForm(forms.Form):
    """Which features to list and how to sort them; everything is optional. Densities are shares."""

    query = forms.CharField(
        required=False,
        max_length=200,
        label="Search",
        widget=forms.SearchInput(attrs={"placeholder": "label, category or token"}),
        help_text="Looked for in labels, categories, top tokens and promoted tokens.",
    )
    min_density = forms.FloatField(
        required=False, min_value=0, max_value=1, label="Density from", help_text="As a share: 0.001 is 0.1 %."
    )
    max_density = forms.FloatField(
        required=False, min_value=0, max_value=1, label="Density to", help_text="As a share: 0.01 is 1 %."
    )
    min_max = forms.FloatField(
        required=False, min_value=0, label="Max activation from", help_text="In units of the activation."
    )
    max_max = forms.FloatField(
        required=False, min_value=0, label="Max activation to", help_text="In units of the activation."
    )
    min_score = forms.FloatField(
        required=False,
        min_value=0,
        max_value=1,
        label="Readability from",
        help_text="From 0 to 1; what fires at random has nearly 0.",
    )
    starred = forms.BooleanField(required=False, label="Starred only")
    labelled = forms.ChoiceField(
        required=False,
        label="Label",
        choices=[("", "with or without"), ("yes", "with"), ("no", "without")],
    )
    area = AreaField()
    sort = forms.ChoiceField(required=False, label="Sort by", choices=SORT_CHOICES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if name != "query":
                field.widget.attrs["data-submits"] = True

    def features(self, *, sae: int | None = None) -> QuerySet[Feature]:
        """The features that the valid form asks for."""
        chosen: dict[str, Any] = dict(self.cleaned_data)
        chosen["min_maximum"], chosen["max_maximum"] = chosen.pop("min_max"), chosen.pop("max_max")
        chosen["sort"] = chosen["sort"] or "index"
        area = chosen.pop("area")
        return area_narrow(feature_list(sae=sae, **chosen), area)

    def require_valid(self) -> None:
        """AppError "bad_filter" with the first bad field."""
        if not self.is_valid():
            name, errors = next(iter(self.errors.items()))
            raise AppError("bad_filter", f"{name}: {' '.join(errors)}", self.fields[name].help_text, field=name)

    def features_asked(self, *, sae: int) -> QuerySet[Feature]:
        """Like `features`, once the form proved valid. AppError "bad_filter" otherwise."""
        self.require_valid()
        return self.features(sae=sae)

    @property
    def narrows(self) -> bool:
        """Whether anything but the sorting was asked for."""
        return any(value for name, value in self.cleaned_data.items() if name != "sort")


class LabelForm(forms.Form):
    """Label and category of one feature."""

    label = forms.CharField(
        required=False,
        max_length=MOST_LABEL_CHARACTERS,
        label="Label",
        help_text="What makes this feature fire, in a few words.",
    )
    category = forms.CharField(
        required=False,
        max_length=MOST_CATEGORY_CHARACTERS,
        label="Category",
        help_text="A path such as Emotion > Positive.",
        widget=forms.TextInput(attrs={"list": "categories", "autocomplete": "off"}),
    )


class NotesForm(forms.Form):
    """Notes about one feature."""

    notes = forms.CharField(
        required=False,
        max_length=MOST_NOTES_CHARACTERS,
        label="Notes",
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="For yourself and your colleagues.",
    )
