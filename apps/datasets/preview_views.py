"""The tokenize form with what stands beside it: a drawing of the contexts and a live preview of the tokens."""

import random
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.asking import whole_or_none
from apps.core.errors import AppError
from apps.core.pages import form_start, spec_page
from apps.core.spec_forms import SpecForm, spec_form
from apps.datasets.context_diagram import context_diagram
from apps.datasets.models import Dataset
from apps.datasets.previews import preview_context
from apps.datasets.selectors import dataset_get
from apps.datasets.tokenization_selectors import preview_get, usual_tokenizer
from apps.datasets.tokenization_services import token_preview_start, tokenization_create
from apps.language_models.vocabulary import vocabulary_of
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.tokenization import TokenizeSpec, TokenPreviewSpec

PLACED = ("dataset", "first_row", "row_count", "text")
"""Fields that the template places itself."""


@require_http_methods(["GET", "POST"])
def tokenize_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Cut this dataset into contexts; beside the form a drawing and a preview that follow it."""
    dataset = dataset_get(pk)
    if request.method == "POST":
        beside = beside_context(spec_form(TokenizeSpec)(request.POST), request.POST)
    else:
        asked = QueryDict(mutable=True)
        asked.update({name: "on" for name, option in _defaults().items() if option is True} | request.GET.dict())
        beside = beside_context(spec_form(TokenizeSpec)(asked), request.GET)
    initial = {"dataset": pk, "language_model": usual_tokenizer(dataset)}
    context = {"dataset": dataset, **beside}
    return spec_page(request, TokenizeSpec, tokenization_create, "datasets/tokenize.html", initial=initial, **context)


def beside_context(form: SpecForm, values: Any) -> dict[str, Any]:
    """What stands beside the fields: the drawing, the filter's warning, the preview's own fields."""
    cut = _drawable(form)
    return {
        "placed": PLACED,
        "diagram": context_diagram(vars(cut)),
        "takes_tokens_out": cut.takes_tokens_out,
        "first_token": first_token_words(form, prepends=cut.prepend_bos),
        "first_row": str(whole_or_none(values.get("first_row")) or 0),
        "row_count": str(whole_or_none(values.get("row_count")) or 1),
        "text": values.get("text", ""),
    }


def first_token_words(form: SpecForm, *, prepends: bool) -> str:
    """Which token contexts would begin with, and whether the chosen model's own tokenizer puts it; "" where unknown."""
    language_model = form.cleaned_data.get("language_model") or form["language_model"].value()
    try:
        vocabulary = vocabulary_of(int(getattr(language_model, "pk", language_model)))
    except (AppError, TypeError, ValueError):
        return ""
    first = vocabulary.first_token
    if first is None:
        return ""
    if first.token_id is None:
        return "This tokenizer has neither a first (BOS) nor a last (EOS) token to begin contexts with."
    own = f"The model's own tokenizer {'puts it' if first.is_put_by_tokenizer else 'puts none'} before a text."
    (raw,) = vocabulary.raw([first.token_id])
    begins = (
        f"Each context begins with {raw} (id {first.token_id})." if prepends else f"No {raw} is put before contexts."
    )
    return f"{begins} {own}"


def _drawable(form: SpecForm) -> TokenizeSpec:
    """The form's values; defaults in place of those that cannot be used, so that a half-filled form is drawn too."""
    form.is_valid()
    usable = {name: value for name, value in form.cleaned_data.items() if name in _defaults() and value is not None}
    rows = {"dataset": 0, "language_model": 0}
    try:
        return TokenizeSpec(**_defaults() | usable | rows)
    except SpecInvalid:
        return TokenizeSpec(**rows)


def _defaults() -> dict[str, Any]:
    """The options of a tokenization that are more than references."""
    fields = spec_form(TokenizeSpec).base_fields
    return {name: field.initial for name, field in fields.items() if name not in ("dataset", "language_model")}


@require_POST
def token_preview_submit(request: HttpRequest, pk: int) -> HttpResponse:
    """Start a preview of ?first_row and following, or of the text; `go` steps to previous, next or random rows.

    htmx gets the panel that shows it, with what follows the form when the tokenize form asked (`follows`); others the
    page of the preview.
    """
    dataset = dataset_get(pk)
    values = request.POST.copy()
    values["dataset"] = str(pk)
    if "go" in values:
        values["first_row"], values["text"] = str(row_go(dataset, values)), ""
    form = spec_form(TokenPreviewSpec)(values)
    preview = form_start(form, token_preview_start, request)
    if not request.htmx and preview is not None:
        return redirect(preview)
    context = {"dataset": dataset, "form": form, **beside_context(form, values)}
    if preview is not None:
        context |= preview_context(preview)
    if request.htmx:
        return render(
            request, "datasets/preview.html", context | {"follows": "follows" in values, "went": "go" in values}
        )
    return render(request, "datasets/tokenize.html", context, status=422)


def row_go(dataset: Dataset, values: Any) -> int:
    """The first row after a step: `go` is previous, next or random; steps are as wide as the rows shown."""
    first, count = (whole_or_none(values.get(name)) or 0 for name in ("first_row", "row_count"))
    steps = {"previous": first - max(count, 1), "next": first + max(count, 1)}
    row = steps.get(values["go"])
    return random.randrange(max(dataset.rows, 1)) if row is None else max(0, min(row, dataset.rows - 1))


@require_GET
def preview_page(request: HttpRequest, pk: int) -> HttpResponse:
    """The tokenize form as it was when this preview was asked for, with its result; htmx gets the result alone."""
    preview = preview_get(pk)
    context = {"dataset": preview.dataset, **preview_context(preview)}
    if request.htmx:
        return render(request, "datasets/preview.html", context)
    job = preview.job
    values = (
        vars(job.loaded_spec) if job else {"dataset": preview.dataset_id, "language_model": preview.language_model_id}
    )
    form = spec_form(TokenizeSpec)(initial=values)
    context |= beside_context(spec_form(TokenizeSpec)(_posted(values)), values) | {"form": form}
    return render(request, "datasets/tokenize.html", context)


def _posted(values: dict[str, Any]) -> QueryDict:
    """The values as a browser would send them."""
    data = QueryDict(mutable=True)
    data.update({name: str(value) for name, value in values.items() if value is not False})
    return data
