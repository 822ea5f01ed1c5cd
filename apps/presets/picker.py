"""The picker: a fragment that forms place above themselves. It loads a preset into the form, says while the form is edited
where it differs, and saves the form as a preset.

`{% include "presets/place.html" with kind="training" %}` stands where it belongs; the form has the
class `form`. The preset that is loaded is ?preset= of the page's address.
"""

from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from apps.core.asking import row_or_none, whole_or_none
from apps.core.errors import AppError
from apps.presets import services
from apps.presets.kinds import KINDS, PresetKind, kind_get
from apps.presets.models import Preset
from apps.presets.selectors import Difference, differences, preset_get, preset_list, preset_options
from apps.presets.views import form_address

TEMPLATE = "presets/picker.html"


@require_GET
def picker(request: HttpRequest) -> HttpResponse:
    """The fragment for ?kind=, with ?preset= or that of the page's address chosen."""
    kind = kind_get(request.GET.get("kind", ""))
    address = QueryDict(urlsplit(request.htmx.current_url or "").query)
    pk = request.GET.get("preset") or address.get("preset", "")
    chosen = row_or_none(Preset.objects.filter(kind=kind.name), pk)
    return _shown(request, kind, chosen)


def _shown(request: HttpRequest, kind: PresetKind, chosen: Preset | None, **more: Any) -> HttpResponse:
    found = list(preset_list(kind=kind.name))
    groups = [
        ("Favourites", [preset for preset in found if preset.is_favourite]),
        ("Yours", [preset for preset in found if not preset.is_favourite and not preset.is_shipped]),
        ("From papers and libraries", [preset for preset in found if not preset.is_favourite and preset.is_shipped]),
    ]
    context = {"kind": kind, "groups": groups, "has_any": bool(found), "chosen": chosen, **more}
    return render(request, TEMPLATE, context)


@require_POST
def use(request: HttpRequest) -> HttpResponse:
    """Go to the form with `preset` loaded, and count it. What the preset leaves open stays as it is in the form."""
    pk = whole_or_none(request.POST.get("preset"))
    if pk is None:
        raise AppError("nothing_chosen", "No template was chosen.", "Choose one.", field="preset")
    preset = preset_get(pk)
    kind = KINDS[preset.kind]
    if not kind.form_url:
        raise AppError("no_form", f"There is no form for templates of the kind {kind.title}.", "Open it instead.")
    services.preset_use(preset=preset)
    address = form_address(kind, preset, request.POST)
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)


@require_POST
def diff(request: HttpRequest, pk: int) -> HttpResponse:
    """Where the form that was sent differs from the preset; values that cannot be used yet are passed over."""
    preset = preset_get(pk)
    found = form_differences(KINDS[preset.kind], preset, request.POST)
    return render(request, f"{TEMPLATE}#diff", {"chosen": preset, "differences": found})


def form_differences(kind: PresetKind, preset: Preset, sent: QueryDict) -> list[Difference]:
    """Differences between a preset and a form that may hold errors."""
    form = kind.form(sent)
    form.is_valid()
    return differences(kind, preset_options(preset), form.cleaned_data)


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Save the form that was sent as a preset. A name of one's own that is taken is replaced after a second yes."""
    kind, name = kind_get(request.POST.get("kind", "")), " ".join(request.POST.get("preset_name", "").split())
    typed = {"name": name, "description": request.POST.get("preset_description", "")}
    form = kind.form(request.POST)
    if not form.is_valid():
        words = [
            f"{form.fields[n].label}: {' '.join(e)}" if n in form.fields else " ".join(e)
            for n, e in form.errors.items()
        ]
        return _shown(request, kind, None, typed=typed, errors=words)
    before = Preset.objects.filter(kind=kind.name, name=name, is_shipped=False).first()
    if before is not None and request.POST.get("overwrite") != "1":
        found = form_differences(kind, before, request.POST)
        return _shown(request, kind, None, typed=typed, before=before, differences=found)
    try:
        if before is not None:
            services.preset_change(preset=before, description=typed["description"], options=kind.options_of(form))
            return _shown(request, kind, before, said=f"“{before.name}” was replaced.")
        made = services.preset_create(kind=kind.name, options=kind.options_of(form), **typed)
    except AppError as error:
        return _shown(request, kind, None, typed=typed, errors=[f"{error.message} {error.hint}".strip()])
    return _shown(request, kind, made, said=f"Saved as “{made.name}”.")
