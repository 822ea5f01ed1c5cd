"""Forms about features: the filter that page, API and command share, and the words that people give."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.management.base import CommandParser
from django.db.models import QuerySet

from apps.core.asking import names_require, shown, whole_or_none
from apps.core.errors import AppError
from apps.features.collections.services import MOST_ADDRESS_CHARACTERS
from apps.features.maps.areas import AreaField, area_narrow
from apps.features.models import PECULIARITIES, Collection, Feature
from apps.features.selectors import DEFAULT_SORT, SORT_CHOICES, feature_list
from apps.features.services import MOST_CATEGORY_CHARACTERS, MOST_LABEL_CHARACTERS, MOST_NOTES_CHARACTERS
from workers.engine.specs.features import DENSE, FEWEST_FIRINGS
from workers.engine.specs.training_memory import MOST_LATENTS


@dataclass(frozen=True)
class Range:
    """A statistic that the list narrows by its least and greatest value: fields min_<key> and max_<key>."""

    key: str
    column: str
    label: str
    help: str
    most: float | None = None


PECULIAR_WORDS = {
    "none": "nothing peculiar",
    "dead": "dead: never fired",
    "rare": f"rare: fewer than {FEWEST_FIRINGS} firings",
    "dense": f"dense: on more than {DENSE:.0%} of tokens",
    "position": "first positions of contexts",
    "layout": "punctuation and layout",
    "one token": "one token",
}
SHARE = "From 0 to 1."
RANGES = (
    Range("density", "density", "Density", "As a share of positions: 0.001 is 0.1 %.", 1),
    Range("max", "maximum", "Max activation", "In units of the activation."),
    Range("interest", "interest", "Interest", "How soon a person could name it; 0 for what has no words in common."),
    Range("score", "score", "Agreement of contexts", "From 0 to 1; what fires at random has nearly 0.", 1),
    Range("mean", "mean", "Mean activation", "In units of the activation, over the positions on which it fires."),
    Range("firings", "firings", "Firings", "Positions on which it fires."),
    Range("agreement", "agreement", "Agreement", SHARE, 1),
    Range("consistency", "consistency", "Consistency", SHARE, 1),
    Range("concentration", "concentration", "Share of one token", SHARE, 1),
)
ENDS = {"min": "from", "max": "to"}


class IndicesField(forms.CharField):
    """Numbers of features and spans of them: "3, 10-12" is 3, 10, 11 and 12."""

    def clean(self, value: Any) -> list[int]:
        found: list[int] = []
        for part in super().clean(value).replace(",", " ").split():
            first, dash, last = part.partition("-")
            start, end = whole_or_none(first), whole_or_none(last if dash else first)
            if start is None or end is None or not start <= end < MOST_LATENTS:
                raise forms.ValidationError(f"{shown(part)} is no number of a feature and no span such as 10-20.")
            found.extend(range(start, end + 1))
            if len(found) > MOST_LATENTS:
                raise forms.ValidationError(f"More than {MOST_LATENTS:,} numbers are too many.")
        return found


class FeatureFilterForm(forms.Form):
    """Which features to list and how to sort them; everything is optional. Densities are shares."""

    query = forms.CharField(
        required=False,
        max_length=200,
        label="Search",
        widget=forms.SearchInput(attrs={"placeholder": "words of a label, or a token"}),
        help_text="Words of labels and categories by their beginning, tokens whole; also token:…, promotes:… and notes:…",
    )
    fires_on = forms.CharField(
        required=False,
        max_length=200,
        label="Fires on",
        help_text="A token as the list shows it, upper and lower case told apart.",
    )
    category = forms.CharField(
        required=False,
        max_length=MOST_CATEGORY_CHARACTERS,
        label="Category",
        help_text="A path such as Emotion > Positive; those below it are found too.",
        widget=forms.TextInput(attrs={"list": "categories", "autocomplete": "off"}),
    )
    features = IndicesField(
        required=False,
        max_length=MOST_ADDRESS_CHARACTERS,
        label="Numbers",
        help_text="Numbers of features, such as 3, 10-12.",
    )
    collection = forms.ModelChoiceField(
        Collection.objects.all(),
        required=False,
        label="Collection",
        empty_label="any or none",
        help_text="Only features that lie in it.",
    )
    starred = forms.BooleanField(required=False, label="Starred only", help_text="Only those with a star.")
    labelled = forms.ChoiceField(
        required=False,
        label="Label",
        choices=[("", "with or without"), ("yes", "with"), ("no", "without")],
        help_text="With or without label and category.",
    )
    peculiarity = forms.ChoiceField(
        required=False,
        label="Peculiar",
        choices=[("", "any"), *((words, PECULIAR_WORDS[words]) for words in PECULIARITIES.values())],
        help_text="A cause that explains the feature without its meaning, or none.",
    )
    area = AreaField()
    sort = forms.ChoiceField(required=False, label="Sort by", choices=SORT_CHOICES, help_text="The order of the list.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for span in RANGES:
            for end, words in ENDS.items():
                self.fields[f"{end}_{span.key}"] = forms.FloatField(
                    required=False,
                    min_value=0,
                    max_value=span.most,
                    label=f"{span.label} {words}",
                    help_text=span.help,
                    widget=forms.NumberInput(
                        attrs={"step": "any", "placeholder": words, "aria-label": f"{span.label} {words}"}
                    ),
                )
        for name, field in self.fields.items():
            if name != "query":
                field.widget.attrs["data-submits"] = True

    @property
    def ranges(self) -> list[tuple[Range, list[forms.BoundField]]]:
        """The statistics, each with its two fields."""
        return [(span, [self[f"{end}_{span.key}"] for end in ENDS]) for span in RANGES]

    @property
    def folded(self) -> list[forms.BoundField]:
        """Fields out of sight until they are wanted, besides the ranges and the star."""
        return [self[name] for name in ("labelled", "peculiarity", "fires_on", "category", "collection", "features")]

    @property
    def folded_used(self) -> int:
        """How many of the folded fields narrow the list."""
        ranges = [field for _, fields in self.ranges for field in fields]
        return sum(bool(field.value()) for field in (*self.folded, *ranges, self["starred"]))

    def found(self, *, sae: int | None = None) -> QuerySet[Feature]:
        """The features that the valid form asks for."""
        chosen: dict[str, Any] = dict(self.cleaned_data)
        chosen["bounds"] = {
            span.column: (chosen.pop(f"min_{span.key}"), chosen.pop(f"max_{span.key}")) for span in RANGES
        }
        chosen["indices"] = chosen.pop("features")
        chosen["sort"] = chosen["sort"] or DEFAULT_SORT
        area = chosen.pop("area")
        return area_narrow(feature_list(sae=sae, **chosen), area)

    def require_valid(self) -> None:
        """AppError "bad_filter" with the first bad field."""
        if not self.is_valid():
            name, errors = next(iter(self.errors.items()))
            raise AppError("bad_filter", f"{name}: {' '.join(errors)}", self.fields[name].help_text, field=name)

    def require_known(self, also: Iterable[str] = ()) -> None:
        """AppError "bad_filter" for a name that is neither a field nor in `also`: misspelt, it would find every feature."""
        names_require(self.data, (*also, *self.fields))

    def features_asked(self, *, sae: int) -> QuerySet[Feature]:
        """Like `found`, once the form proved valid. AppError "bad_filter" otherwise."""
        self.require_valid()
        return self.found(sae=sae)

    @property
    def narrows(self) -> bool:
        """Whether anything but the sorting was asked for."""
        return any(value not in (None, "", [], False) for name, value in self.cleaned_data.items() if name != "sort")


def add_filter_arguments(parser: CommandParser) -> None:
    """The filter's fields as arguments of a command: --query, --fires-on, --min-density …; `FeatureFilterForm` reads them."""
    for name, field in FeatureFilterForm().fields.items():
        flag = f"--{name.replace('_', '-')}"
        words = field.help_text.replace("%", "%%")
        if isinstance(field, forms.BooleanField):
            parser.add_argument(flag, action="store_true", help=words)
        elif isinstance(field, forms.ModelChoiceField):
            parser.add_argument(flag, default="", metavar="ID", help=f"{field.label}: {words}")
        elif isinstance(field, forms.ChoiceField):
            parser.add_argument(flag, choices=[value for value, _ in field.choices if value], default="", help=words)
        else:
            parser.add_argument(flag, default="", help=f"{field.label}: {words}")


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


class CollectionForm(forms.Form):
    """Name and note of a collection."""

    name = forms.CharField(max_length=200, label="Name", help_text="Unlike that of any other collection.")
    note = forms.CharField(
        required=False,
        max_length=MOST_NOTES_CHARACTERS,
        label="Note",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What its features have in common, or what is to be done with them.",
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
