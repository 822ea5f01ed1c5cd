"""Pages of presets: the list, one, the forms that make and change one, files in and out."""

import json
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.asking import choice_asked, names_require, whole_numbers
from apps.core.errors import AppError
from apps.core.spec_forms import SpecForm
from apps.jobs.selectors import job_get
from apps.presets import services
from apps.presets.documents import preset_document
from apps.presets.forms import ImportForm, WordsForm
from apps.presets.kinds import KINDS, PresetKind, kind_get
from apps.presets.models import Preset
from apps.presets.selectors import jobs_agreeing, option_rows, preset_get, preset_list, preset_options

PAGE_SIZE = 50
MOST_JOBS_SHOWN = 10


@require_GET
def preset_list_page(request: HttpRequest) -> HttpResponse:
    """Presets of all kinds, favourites first: ?kind=, ?q=, ?favourite=1."""
    names_require(request.GET, ("kind", "q", "favourite", "page"))
    chosen = {name: request.GET.get(name, "") for name in ("kind", "q", "favourite")}
    found = preset_list(
        kind=choice_asked(chosen, "kind", Preset.Kind.values), query=chosen["q"], favourite=chosen["favourite"] == "1"
    )
    context = {
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "kinds": Preset.Kind.choices,
    }
    return render(request, "presets/list.html", context)


@require_GET
def preset_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One preset: what it decides, where it comes from, what was run with its settings."""
    preset = preset_get(pk)
    kind, jobs = KINDS[preset.kind], jobs_agreeing(preset)
    context = {
        "preset": preset,
        "kind": kind,
        "options": option_rows(kind, preset_options(preset)),
        "jobs": jobs[:MOST_JOBS_SHOWN],
        "job_count": len(jobs),
    }
    return render(request, "presets/detail.html", context)


@require_http_methods(["GET", "POST"])
def preset_new(request: HttpRequest, kind: str) -> HttpResponse:
    """A new preset of a kind. A POST without a name is another form's data: it fills this form."""
    wanted = kind_get(kind)
    if request.method == "GET":
        words = WordsForm()
        return _form_page(request, wanted, words, wanted.form())
    form, words = wanted.form(request.POST), WordsForm(request.POST)
    if "preset_name" not in request.POST:
        return _form_page(request, wanted, WordsForm(), form)
    if words.is_valid() & form.is_valid():
        try:
            return redirect(services.preset_create(kind=kind, options=wanted.options_of(form), **words.words()))
        except AppError as error:
            _refuse(words, form, error)
    return _form_page(request, wanted, words, form)


@require_GET
def preset_from_job(request: HttpRequest, job: int) -> HttpResponse:
    """The form of a new preset, filled with what a job was asked for."""
    found = job_get(job)
    name, options = services.options_of_job(found)
    made_from = f"Made from {found.subject_name or found.title}, job {found.pk}."
    words = WordsForm(initial={"preset_name": found.subject_name[:100], "preset_description": made_from})
    kind = kind_get(name)
    return _form_page(request, kind, words, kind.form(initial=options), action=reverse("presets:new", args=[name]))


@require_http_methods(["GET", "POST"])
def preset_change(request: HttpRequest, pk: int) -> HttpResponse:
    """Name, description and the options that the preset decides."""
    preset = preset_get(pk)
    kind, options = KINDS[preset.kind], preset_options(preset)
    if preset.is_shipped:
        raise AppError(
            "preset_shipped", f"“{preset.name}” comes with the studio.", "Clone it: the copy is yours.", status=409
        )
    if request.method == "GET":
        words = WordsForm(initial={"preset_name": preset.name, "preset_description": preset.description})
        return _form_page(request, kind, words, kind.form(only=options, initial=options), preset=preset)
    words, form = WordsForm(request.POST), kind.form(request.POST, only=options)
    if words.is_valid() & form.is_valid():
        try:
            services.preset_change(preset=preset, options=kind.options_of(form, options), **words.words())
        except AppError as error:
            _refuse(words, form, error)
        else:
            return redirect(preset)
    return _form_page(request, kind, words, form, preset=preset)


def _form_page(
    request: HttpRequest,
    kind: PresetKind,
    words: WordsForm,
    form: SpecForm,
    *,
    preset: Preset | None = None,
    action: str = "",
) -> HttpResponse:
    """The form of a new preset, or of `preset`."""
    is_bad = bool(words.errors or (words.is_bound and form.errors))
    context = {"kind": kind, "words": words, "form": form, "preset": preset, "action": action, "is_bad": is_bad}
    return render(request, "presets/form.html", context, status=422 if is_bad else 200)


def _refuse(words: WordsForm, form: SpecForm, error: AppError) -> None:
    """Show a service's refusal where it belongs."""
    text = f"{error.message} {error.hint}".strip()
    place = f"preset_{error.field}"
    if place in words.fields:
        words.add_error(place, text)
    else:
        form.add_error(error.field if error.field in form.fields else None, text)


@require_http_methods(["GET", "POST"])
def preset_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete."""
    preset = preset_get(pk)
    if request.method == "POST":
        services.preset_delete(preset=preset)
        messages.success(request, f"{preset.name} was deleted.")
        return redirect("presets:list")
    context = {"row": preset, "back_url": reverse("presets:list"), "note": "Runs that were started from it stay."}
    return render(request, "core/delete.html", context)


@require_POST
def preset_favourite(request: HttpRequest, pk: int) -> HttpResponse:
    """Among the favourites, or no longer: is_favourite in the form says which. htmx gets the star."""
    preset = preset_get(pk)
    services.preset_favourite_set(preset=preset, is_favourite=request.POST.get("is_favourite") == "1")
    if request.htmx:
        return render(request, "presets/list.html#star", {"preset": preset})
    back = request.headers.get("Referer", "")
    is_own = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if is_own else preset.get_absolute_url())


@require_POST
def preset_copy(request: HttpRequest, pk: int) -> HttpResponse:
    """A copy of one's own, opened for changes."""
    return redirect("presets:change", services.preset_clone(preset=preset_get(pk)).pk)


@require_GET
def preset_export(request: HttpRequest) -> HttpResponse:
    """Presets as a JSON file: ?preset=3&preset=7, or all that the list's filters leave."""
    wanted = whole_numbers(request.GET.getlist("preset"))
    found = list(
        preset_list().filter(pk__in=wanted)
        if wanted
        else preset_list(kind=request.GET.get("kind", ""), query=request.GET.get("q", ""))
    )
    if not found:
        raise AppError("nothing_chosen", "No template was chosen.", "Tick some in the list.", status=404)
    content = preset_document(found[0]) if len(found) == 1 else [preset_document(preset) for preset in found]
    name = f"template-{found[0].pk}.json" if len(found) == 1 else "templates.json"
    return HttpResponse(
        json.dumps(content, indent=2, ensure_ascii=False),
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@require_http_methods(["GET", "POST"])
def preset_import(request: HttpRequest) -> HttpResponse:
    """Presets from a file; none is saved when one cannot be taken."""
    form: forms.Form = ImportForm(request.POST, request.FILES) if request.method == "POST" else ImportForm()
    if form.is_bound and form.is_valid():
        try:
            made = services.presets_import(content=form.cleaned_data["file"], on_clash=form.cleaned_data["on_clash"])
        except AppError as error:
            form.add_error("file", f"{error.message} {error.hint}".strip())
        else:
            messages.success(
                request, f"Imported: {', '.join(preset.name for preset in made[:5])}{' …' * (len(made) > 5)}."
            )
            return redirect(made[0] if len(made) == 1 else "presets:list")
    return render(request, "presets/import.html", {"form": form}, status=422 if form.errors else 200)


def form_address(kind: PresetKind, preset: Preset, chosen: Any) -> str:
    """The form of the kind with the preset loaded; what it leaves open stays as `chosen` in the form or the link before."""
    query = QueryDict(mutable=True)
    query["preset"] = str(preset.pk)
    if chosen.getlist("index"):  # the rows of steering's cart
        chosen = chosen.copy()
        chosen["features"] = ",".join(map(":".join, zip(chosen.getlist("index"), chosen.getlist("strength"))))
    for name in kind.left_open:
        values = [value for value in chosen.getlist(name) if value]
        if values and name != "name":
            query[name] = ",".join(values)
    return f"{reverse(kind.form_url)}?{query.urlencode()}"
