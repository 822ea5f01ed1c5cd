"""What can be done with many features of the list at once: with those whose boxes are ticked, or with all that match."""

from django import forms
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.http import QueryDict

from apps.core.asking import whole_numbers
from apps.core.errors import AppError
from apps.features import services
from apps.features.collections.services import collection_add_named
from apps.features.example_export import FORMATS
from apps.features.forms import FeatureFilterForm
from apps.features.models import Feature
from apps.saes.models import Sae

ACTIONS = (
    ("star", "put a star"),
    ("unstar", "take the star away"),
    ("label", "give the label"),
    ("category", "put into the category"),
    ("clear", "clear label and category"),
    ("collect", "add to the collection"),
    *((how, f"export with examples as {how.upper()}") for how in FORMATS),
    ("spreadsheet", "export with examples as CSV for spreadsheets"),
)
WITH_WORDS = ("label", "category", "collect")
"""Actions that need words: the label, the category, the collection's name."""

REPLACING = {"label": "label", "category": "category", "clear": "label_source"}
"""Actions that take words away, with the column that says whether there are any."""


class BulkForm(forms.Form):
    """What to do with the features that are chosen."""

    action = forms.ChoiceField(choices=ACTIONS, label="With the chosen features")
    words = forms.CharField(
        required=False,
        max_length=services.MOST_LABEL_CHARACTERS,
        label="Words",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


def features_chosen(*, sae: Sae, asked: QueryDict, sent: QueryDict) -> QuerySet[Feature]:
    """The features of an SAE that a form names: all that the filter `asked` finds when `everything` was sent, otherwise
    the numbers in `chosen`. AppError "nothing_chosen" when there are none."""
    if sent.get("everything"):
        return FeatureFilterForm(asked).features_asked(sae=sae.pk)
    numbers = [number for number in whole_numbers(sent.getlist("chosen")) if number < sae.d_sae]
    if not numbers:
        raise AppError("nothing_chosen", "No feature was chosen.", "Tick the boxes of some, or “all that match”.")
    return sae.features.select_related("sae").filter(index__in=numbers).order_by("index")


def words_lost(*, features: QuerySet[Feature], action: str, words: str) -> int:
    """How many of `features` would lose words that they have."""
    column = REPLACING.get(action)
    return features.exclude(**{column: ""}).exclude(**{column: words}).count() if column else 0


def bulk_apply(*, features: QuerySet[Feature], action: str, words: str, user: AbstractBaseUser) -> str:
    """Do one of ACTIONS that changes something, and say what was done."""
    if action in WITH_WORDS and not words.strip():
        raise AppError("words_missing", "The words are missing.", f"Write the {dict(ACTIONS)[action].split()[-1]}.")
    if action == "collect":
        collection, added = collection_add_named(name=words, features=features, user=user)
        return f"{_features(added)} added to the collection “{collection}”."
    changes: dict[str, dict[str, object]] = {
        "star": {"is_starred": True},
        "unstar": {"is_starred": False},
        "label": {"label": words},
        "category": {"category": words},
        "clear": {"label": "", "category": ""},
    }
    return f"{_features(services.features_update(features=features, **changes[action]))} changed."


def _features(count: int) -> str:
    return f"{count:,} feature{'' if count == 1 else 's'}"
