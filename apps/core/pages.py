"""Two pages that many features have: the form that starts a job, and the question before a deletion."""

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import capfirst

from apps.core.errors import AppError
from apps.core.references import references_to
from apps.core.spec_forms import SpecForm, spec_form
from apps.core.templatetags.studio import bytes_words
from workers.engine.specs.base import Spec
from workers.engine.specs.errors import SpecInvalid

Row = TypeVar("Row", bound=models.Model)


def spec_page(
    request: HttpRequest,
    spec_class: type[Spec],
    start: Callable[..., models.Model],
    template: str,
    *,
    initial: dict[str, Any] | None = None,
    form_class: Callable[..., SpecForm] | None = None,
    **context: Any,
) -> HttpResponse:
    """The form of a Spec, prefilled by the query string; a valid POST calls start(spec=, user=) and shows its row.

    What `start` refuses is shown at the field it names. `form_class` stands in for the Spec's plain form.
    """
    form_class = form_class or spec_form(spec_class)
    if request.method == "POST":
        form = form_class(request.POST, request.FILES)
        started = form_start(form, start, request)
        if started is not None:
            return redirect(started)
    else:
        asked = {name: value for name, value in request.GET.items() if name in spec_class.options()}
        form = form_class(initial={**(initial or {}), **asked})
        form.rows_preselect()
    return render(request, template, {"form": form, **context}, status=422 if form.errors else 200)


def form_start(form: Any, start: Callable[..., Row], request: HttpRequest) -> Row | None:
    """What start(spec=, user=) makes of a valid form; None when form or service refuses, which the form then says."""
    if not form.is_valid():
        return None
    try:
        return start(spec=form.spec(), user=request.user)
    except (AppError, SpecInvalid) as error:
        form_refuse(form, error)
        return None


def form_refuse(form: forms.Form, error: AppError | SpecInvalid) -> None:
    """Show a service's refusal at the field it names, or above the form."""
    form.add_error(error.field if error.field in form.fields else None, f"{error.message} {error.hint}".strip())


def delete_page(
    request: HttpRequest,
    row: models.Model,
    delete: Callable[[], int],
    *,
    back_url: str,
    back_words: str = "",
    note: str = "",
) -> HttpResponse:
    """GET asks, naming the bytes to be freed and what stands in the way; POST calls `delete` and goes to `back_url`.

    `row` has `bytes`. `back_words` names the page at `back_url`, the list of all such rows unless it is said. A refusal is
    shown as an error page with its references.
    """
    if request.method == "POST":
        name = str(row)
        freed = delete()
        messages.success(request, f"{name} was deleted; {bytes_words(freed)} freed.")
        return redirect(back_url)
    references = [(capfirst(other._meta.verbose_name), other) for other in references_to(row)]
    back_words = back_words or capfirst(row._meta.verbose_name_plural)
    context = {"row": row, "references": references, "back_url": back_url, "back_words": back_words, "note": note}
    return render(request, "core/delete.html", context)
