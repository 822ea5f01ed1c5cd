"""Live fragment of a language model: the card of its page."""

from django.template.loader import render_to_string

from apps.core.live.rendering import renders
from apps.core.live.topics import LANGUAGE_MODELS
from apps.language_models.models import LanguageModel


@renders(LANGUAGE_MODELS)
def language_model_card(pk: str) -> str | None:
    """The model's numbers, or its import under way."""
    language_model = LanguageModel.objects.filter(pk=pk).first() if pk.isdecimal() else None
    if language_model is None:
        return None
    context = {"language_model": language_model, "job": language_model.job}
    return render_to_string("language_models/detail.html#card", context)
