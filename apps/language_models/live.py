"""Live fragments of language models: the card of a model's page, and the card of a look-up."""

from django.template.loader import render_to_string

from apps.core.asking import row_or_none
from apps.core.live.rendering import renders
from apps.core.live.topics import LANGUAGE_MODEL_LOOKUPS, LANGUAGE_MODELS
from apps.language_models.cards import card_context, lookup_context
from apps.language_models.models import LanguageModel, LanguageModelLookup


@renders(LANGUAGE_MODELS)
def language_model_card(pk: str) -> str | None:
    """The model's numbers, or its import under way."""
    language_model = row_or_none(LanguageModel.objects.all(), pk)
    if language_model is None:
        return None
    return render_to_string("language_models/detail.html#card", card_context(language_model))


@renders(LANGUAGE_MODEL_LOOKUPS)
def lookup_card(pk: str) -> str | None:
    """What the Hub said of a model and how it fits this machine, or the question under way."""
    lookup = row_or_none(LanguageModelLookup.objects.all(), pk)
    if lookup is None:
        return None
    return render_to_string("language_models/new.html#lookup", lookup_context(lookup))
