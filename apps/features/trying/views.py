"""The page on which a text is tried, and the page of one that was: the same form, and the answer below it."""

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from apps.core.errors import AppError
from apps.core.pages import form_refuse
from apps.core.spec_forms import SpecForm, spec_form
from apps.features.models import TriedText
from apps.features.trying.selectors import tried_before, tried_context, tried_text_get
from apps.features.trying.services import text_try
from apps.saes.models import Sae
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.try_text import TryTextSpec

TEXTS = ("text", "other")
"""Options that no address carries."""


@require_http_methods(["GET", "POST"])
def try_page(request: HttpRequest) -> HttpResponse:
    """?sae=&watched= and other options prefill the form, the texts alone do not. POST reads a text: htmx gets the answer
    and the page's new address, others are led there. A feature's own page asks with `here`: it keeps its address."""
    if request.method == "POST":
        return _tried(request)
    asked = {name: value for name, value in request.GET.items() if name not in TEXTS}
    form = spec_form(TryTextSpec)(initial=asked)
    form.rows_preselect()
    return render(request, "features/try.html", {"form": form, "has_none": not Sae.objects.exists()})


@require_GET
def tried_page(request: HttpRequest, pk: int) -> HttpResponse:
    """A text that was tried, for a day: the form as it was sent, and the answer."""
    tried = tried_text_get(pk)
    form = spec_form(TryTextSpec)(initial=tried.spec.to_json())
    return render(request, "features/try.html", {"form": form, **tried_context(tried)})


def _asked(values: QueryDict) -> SpecForm:
    """The form as one with few fields fills it; the rest at its defaults."""
    fields = spec_form(TryTextSpec).base_fields
    defaults = {name: field.initial for name, field in fields.items() if field.initial is not None}
    return spec_form(TryTextSpec)(defaults | values.dict())


def _tried(request: HttpRequest) -> HttpResponse:
    is_elsewhere = "here" in request.POST
    form = _asked(request.POST) if is_elsewhere else spec_form(TryTextSpec)(request.POST)
    tried = _started(form, request)
    if tried is None:
        template = "features/try.html#answer" if request.htmx else "features/try.html"
        return render(request, template, {"form": form}, status=200 if request.htmx else 422)
    if not request.htmx:
        return redirect(tried)
    answer = render(request, "features/try.html#answer", tried_context(tried))
    if not is_elsewhere:
        answer["HX-Push-Url"] = tried.get_absolute_url()
    return answer


def _started(form: SpecForm, request: HttpRequest) -> TriedText | None:
    if not form.is_valid():
        return None
    try:
        spec = form.spec()
        return tried_before(spec) or text_try(spec=spec, user=request.user)
    except (AppError, SpecInvalid) as error:
        form_refuse(form, error)
        return None
