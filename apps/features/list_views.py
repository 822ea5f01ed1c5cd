"""What rows of the feature list answer: a peek, a star, words, and one action for many rows."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from apps.core.asking import whole_numbers
from apps.core.errors import AppError
from apps.core.pages import form_refuse
from apps.core.streaming import streamed
from apps.features.bulk import BulkForm, bulk_apply, features_chosen, words_lost
from apps.features.collections.services import selection_url
from apps.features.example_export import FORMATS, examples_exported
from apps.features.forms import LabelForm
from apps.features.models import Feature
from apps.features.selectors import strongest_examples
from apps.features.services import feature_label_set, feature_star_set
from apps.saes.selectors import sae_get

PEEK_WIDTH = 16
"""Tokens on each side of the peak in a peek."""


@require_POST
def features_change(request: HttpRequest, sae_id: int) -> HttpResponseBase:
    """One action for the ticked rows, or for all that the filter in the address finds; then back to the same list.

    Before words of features that nobody saw are replaced, it asks.
    """
    sae = sae_get(sae_id)
    found = features_chosen(sae=sae, asked=request.GET, sent=request.POST)
    form = BulkForm(request.POST)
    if not form.is_valid():
        raise AppError(
            "bad_action", " ".join(words for errors in form.errors.values() for words in errors), "Choose what to do."
        )
    action, words = form.cleaned_data["action"], form.cleaned_data["words"]
    if action in (*FORMATS, "spreadsheet"):
        how, for_spreadsheet = ("csv", True) if action == "spreadsheet" else (action, False)
        pieces = examples_exported(found, how, for_spreadsheet=for_spreadsheet)
        return streamed(request, pieces, content_type=FORMATS[how], filename=f"sae-{sae_id}-features.{how}")
    query = request.GET.urlencode()
    list_url = f"{reverse('features:list', args=[sae_id])}{f'?{query}' if query else ''}"
    if "everything" in request.POST and "sure" not in request.POST:
        lost = words_lost(features=found, action=action, words=words)
        if lost:
            context = {"sae": sae, "form": form, "count": found.count(), "lost": lost, "list_url": list_url}
            return render(request, "features/change_ask.html", context)
    messages.success(request, bulk_apply(features=found, action=action, words=words, user=request.user))
    return redirect(list_url)


@require_POST
def features_selected(request: HttpRequest, sae_id: int) -> HttpResponse:
    """The list of the posted `features`, numbers with commas; a selection too long for an address becomes a collection."""
    sae, texts = sae_get(sae_id), request.POST.get("features", "").replace(",", " ").split()
    numbers = [number for number in whole_numbers(texts) if number < sae.d_sae]
    if len(numbers) < len(texts):
        hint = "Send numbers of its features with commas between."
        raise AppError("bad_selection", f"The selection is no list of features of {sae}.", hint)
    return redirect(selection_url(sae=sae, indices=numbers, user=request.user))


@require_GET
def feature_peek(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """A row below the feature's own: its strongest examples at more width, and its words to edit."""
    feature = _row(sae_id, index)
    examples = [example.cropped(PEEK_WIDTH) for example in strongest_examples(feature)]
    return render(request, "features/peek.html", {**_words(feature), "examples": examples})


@require_POST
def feature_row_words(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """Save label and category from a peek; the row above shows them."""
    feature = _row(sae_id, index)
    form = LabelForm(request.POST, auto_id=f"peek-{index}-%s")
    if form.is_valid():
        try:
            feature_label_set(feature=feature, **form.cleaned_data)
        except AppError as error:
            form_refuse(form, error)
    if not request.htmx:
        return redirect(feature)
    return render(request, "features/peek.html#words", {**_words(feature), "form": form, "is_saved": not form.errors})


@require_POST
def feature_row_star(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """Put a star on a row's feature, or take it away."""
    feature = _row(sae_id, index)
    feature_star_set(feature=feature, is_starred=request.POST.get("is_starred") == "1")
    context = {"feature": feature, "href": feature.get_absolute_url()}
    return render(request, "features/row_star.html", context) if request.htmx else redirect(feature)


def _words(feature: Feature) -> dict[str, Any]:
    initial = {"label": feature.label, "category": feature.category}
    form = LabelForm(initial=initial, auto_id=f"peek-{feature.index}-%s")
    return {"feature": feature, "form": form}


def _row(sae_id: int, index: int) -> Feature:
    return get_object_or_404(Feature.objects.select_related("sae", "run"), sae=sae_id, index=index)
