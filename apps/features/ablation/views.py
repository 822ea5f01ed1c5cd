"""The part of the feature page about its ablation: POST measures, and answers with the part as it then stands."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from apps.core.errors import AppError
from apps.core.pages import form_start
from apps.core.spec_forms import SpecForm, spec_form
from apps.features.ablation.selectors import ablation_context, ablation_of
from apps.features.ablation.services import ablation_start
from apps.features.models import Feature
from workers.engine.specs.ablation import AblateSpec


def ablation_form(feature: Feature, data: Any = None) -> SpecForm:
    """The form of a measurement; the feature itself is decided."""
    decided = {"sae": feature.sae_id, "index": feature.index}
    return spec_form(AblateSpec)(data, decided=decided, auto_id="ablation_%s")


def ablation_part(feature: Feature, form: SpecForm | None = None) -> dict[str, Any]:
    """The template context of features/ablation.html."""
    form = form or ablation_form(feature)
    return {"feature": feature, "ablation_form": form, **ablation_context(ablation_of(feature))}


@require_POST
def ablation_measure(request: HttpRequest, sae_id: int, index: int) -> HttpResponse:
    """Start the measurement: htmx gets the changed part, others go back to the page."""
    feature = get_object_or_404(Feature.objects.select_related("sae", "run"), sae=sae_id, index=index)
    form = ablation_form(feature, request.POST)
    started = form_start(form, ablation_start, request)
    if request.htmx:
        return render(request, "features/ablation.html", ablation_part(feature, form if form.errors else None))
    if started is None:
        words = " ".join(message for errors in form.errors.values() for message in errors)
        raise AppError("ablation_refused", words, "Go back and correct it.", status=422)
    return redirect(started)
