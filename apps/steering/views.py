"""Pages of steering: experiments, the form with its cart of features, and the result."""

import json
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.asking import names_require, row_or_none, whole_asked, whole_or_none
from apps.core.errors import AppError
from apps.core.pages import form_refuse
from apps.core.spec_forms import SpecForm
from apps.features.models import Feature
from apps.features.selectors import FoundFeatures, feature_list, feature_of
from apps.language_models.generation_settings import generation_settings_said
from apps.presets.models import Preset
from apps.presets.selectors import preset_asked
from apps.saes.models import Sae
from apps.saes.selectors import sae_get
from apps.steering.forms import (
    CartRow,
    ExperimentNameForm,
    cart_rows,
    linked_form,
    posted_form,
    spec_initial,
)
from apps.steering.models import Experiment
from apps.steering.pages import result_context
from apps.steering.selectors import experiment_get, experiment_json, experiment_list
from apps.steering.services import experiment_delete, experiment_save, experiment_start
from workers.engine.specs.steering import USUAL_STRENGTH

PAGE_SIZE = 25
MOST_FOUND = 12
IN_CART = ("sae", "features", "prompt", "unit")
"""Fields that the template places itself."""


@require_GET
def experiment_list_page(request: HttpRequest) -> HttpResponse:
    """Experiments, saved ones first."""
    names_require(request.GET, ("page",))
    page = Paginator(experiment_list(), PAGE_SIZE).get_page(request.GET.get("page"))
    topics = [experiment.topic for experiment in page if not experiment.is_ready]
    context = {"page": page, "rows": page, "topics": topics, "has_sae": Sae.objects.exists()}
    return render(request, "steering/list.html", context)


@require_http_methods(["GET", "POST"])
def experiment_new(request: HttpRequest) -> HttpResponse:
    """The form; ?again=, the number of an experiment, ?preset=, ?sae=&f=12:4,77:-2&p= and every option by name prefill it.
    Without an SAE it asks for one first."""
    if request.method == "POST":
        form = posted_form(request.POST)
    else:
        form = linked_form(request.GET, _again(request) or preset_asked(request.GET, Preset.Kind.STEERING))
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(experiment_start(spec=form.spec(), user=request.user))
        except AppError as error:
            form_refuse(form, error)
    sae = _sae_of(form)
    if sae is None:
        return render(request, "steering/choose.html", {"saes": Sae.objects.select_related("language_model")})
    context = _form_context(request, form, sae)
    return render(request, "steering/new.html", context, status=422 if form.errors else 200)


def _again(request: HttpRequest) -> dict[str, Any]:
    """What the experiment ?again= was asked with, prompt included; {} without."""
    return spec_initial(experiment_get(whole_asked(request.GET, "again"))) if "again" in request.GET else {}


def _sae_of(form: SpecForm) -> Sae | None:
    return row_or_none(Sae.objects.select_related("language_model"), form["sae"].value())


def _form_context(request: HttpRequest, form: SpecForm, sae: Sae) -> dict[str, Any]:
    rows = cart_rows(form, sae.pk)
    query = request.GET.get("q", "")
    return {
        "form": form,
        "sae": sae,
        "rows": rows,
        "others": [field for field in form.basic_fields if field.name not in IN_CART],
        "has_run": Feature.objects.filter(sae=sae).exists(),
        "features_url": f"{reverse('features:new')}?sae={sae.pk}",
        "query": query,
        "found": found_features(sae, query),
        "usual_strength": USUAL_STRENGTH,
        "model_settings": generation_settings_said(sae.language_model),
        "in_cart": ",".join(f"{row.index}:{row.strength}" for row in rows),
    }


def found_features(sae: Sae, query: str) -> list[Feature]:
    """Features for the cart: by number, or by words with the strongest first; without words starred ones come first."""
    query = query.strip()
    alive = Q(maximum__gt=0)
    index = whole_or_none(query)
    if index is not None:
        return list(sae.features.filter(alive, index=index))
    if query:
        return FoundFeatures(feature_list(sae=sae.pk, query=query, sort="maximum").filter(alive))[:MOST_FOUND]
    return list(sae.features.filter(alive).order_by("-is_starred", "-maximum", "index")[:MOST_FOUND])


@require_GET
def cart_search(request: HttpRequest) -> HttpResponse:
    """Fragment: features of ?sae= that match ?q=."""
    sae = sae_get(whole_asked(request.GET, "sae"))
    query = request.GET.get("q", "")
    context = {"sae": sae, "query": query, "found": found_features(sae, query), "has_run": sae.features.exists()}
    context["usual_strength"] = USUAL_STRENGTH
    return render(request, "steering/new.html#found", context)


@require_GET
def cart_row(request: HttpRequest) -> HttpResponse:
    """Fragment: one more row of the cart, for feature ?index= of ?sae=."""
    sae = sae_get(whole_asked(request.GET, "sae"))
    feature = feature_of(sae, whole_asked(request.GET, "index"))
    row = CartRow(request.GET["index"], f"{USUAL_STRENGTH:g}", feature)
    return render(request, "steering/cart_row.html", {"row": row, "sae": sae})


@require_GET
def experiment_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Both texts side by side, and what was done to the model."""
    experiment = experiment_get(pk)
    context = {
        **result_context(experiment),
        "again_url": f"{reverse('steering:new')}?again={pk}",
        "name_form": ExperimentNameForm(initial={"name": experiment.name}),
    }
    return render(request, "steering/detail.html", context)


@require_POST
def experiment_keep(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep an experiment under a name."""
    experiment = experiment_get(pk)
    experiment_save(experiment=experiment, name=request.POST.get("name", ""))
    return redirect(experiment)


@require_http_methods(["GET", "POST"])
def experiment_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask before an experiment is deleted; a page of its own for those without scripts."""
    experiment: Experiment = experiment_get(pk)
    if request.method == "POST":
        experiment_delete(experiment=experiment)
        return redirect("steering:list")
    return render(request, "steering/delete.html", {"experiment": experiment})


@require_GET
def experiment_download(request: HttpRequest, pk: int) -> HttpResponse:
    """The experiment as a JSON file."""
    text = json.dumps(experiment_json(experiment_get(pk)), indent=2, ensure_ascii=False)
    disposition = f'attachment; filename="steering-{pk}.json"'
    return HttpResponse(text, content_type="application/json", headers={"Content-Disposition": disposition})
