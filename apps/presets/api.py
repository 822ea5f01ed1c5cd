"""Presets as JSON, by kind: training, extraction, labeling, steering."""

from typing import Any

from django.http import HttpRequest

from apps.core.api import api, paged
from apps.core.asking import choice_asked
from apps.core.json_bodies import fields_check
from apps.presets import services
from apps.presets.documents import preset_document
from apps.presets.kinds import KINDS, kind_get
from apps.presets.selectors import differences, preset_get, preset_json, preset_list, preset_options
from apps.presets.services import ON_CLASH

CHANGES = {"name": str, "description": str, "spec": dict, "is_favourite": bool}


@api("GET")
def preset_kinds(request: HttpRequest) -> Any:
    """The kinds of presets, and the options that one of each kind may decide."""
    return {
        "items": [{"kind": kind.name, "title": kind.title, "options": kind.option_names} for kind in KINDS.values()]
    }


@api("GET", "POST")
def presets(request: HttpRequest, kind: str) -> Any:
    """Presets of a kind, favourites first (?q=, ?favourite=1); POST {"name", "spec", "description"} saves one: 201."""
    kind_get(kind)
    if request.method == "POST":
        body = _body(request, {name: type_ for name, type_ in CHANGES.items() if name != "is_favourite"})
        made = services.preset_create(
            kind=kind, name=body.get("name", ""), options=body.get("spec", {}), description=body.get("description", "")
        )
        return 201, preset_json(made)
    found = preset_list(kind=kind, query=request.GET.get("q", ""), favourite=request.GET.get("favourite") == "1")
    return paged(found, request, preset_json, filters=("q", "favourite"))


def _body(request: HttpRequest, kinds: dict[str, type]) -> dict[str, Any]:
    fields_check(request.json, kinds)
    return request.json


@api("GET", "PATCH", "DELETE")
def preset(request: HttpRequest, kind: str, pk: int) -> Any:
    """One preset; PATCH changes name, description, spec (the whole of it) or is_favourite; DELETE removes it."""
    found = preset_get(pk, kind)
    if request.method == "DELETE":
        services.preset_delete(preset=found)
        return {"deleted": pk}
    if request.method == "PATCH":
        body = dict(_body(request, CHANGES))
        is_favourite = body.pop("is_favourite", None)
        if body:
            body["options"] = body.pop("spec", None)
            services.preset_change(preset=found, **body)
        if is_favourite is not None:
            services.preset_favourite_set(preset=found, is_favourite=is_favourite)
        found = preset_get(pk, kind)
    return preset_json(found)


@api("POST", "DELETE")
def preset_favourite(request: HttpRequest, kind: str, pk: int) -> Any:
    """POST puts a preset among the favourites, DELETE takes it out."""
    found = preset_get(pk, kind)
    services.preset_favourite_set(preset=found, is_favourite=request.method == "POST")
    return preset_json(found)


@api("POST")
def preset_clone(request: HttpRequest, kind: str, pk: int) -> Any:
    """A copy that can be changed: 201. {"name"} names it; without, it gets the next free name."""
    name = _body(request, {"name": str})["name"] if request.json else ""
    return 201, preset_json(services.preset_clone(preset=preset_get(pk, kind), name=name))


@api("POST")
def preset_use(request: HttpRequest, kind: str, pk: int) -> Any:
    """Count a use; answers with the preset, whose `spec` goes into the body of what is started."""
    services.preset_use(preset=preset_get(pk, kind))
    return preset_json(preset_get(pk, kind))


@api("POST")
def preset_diff(request: HttpRequest, kind: str, pk: int) -> Any:
    """Where the options in the body differ from those that the preset decides."""
    wanted, found = kind_get(kind), preset_get(pk, kind)
    given = {name: value for name, value in request.json.items() if name not in wanted.left_open}
    read = wanted.options_read(given)
    return {"differences": [vars(each) for each in differences(wanted, preset_options(found), read)]}


@api("GET")
def preset_export(request: HttpRequest, kind: str, pk: int) -> Any:
    """The preset as it is exported: what POST …/import takes."""
    return preset_document(preset_get(pk, kind))


@api("GET")
def presets_export(request: HttpRequest, kind: str) -> Any:
    """All presets of a kind as a list of exported ones; ?favourite=1 only the favourites."""
    kind_get(kind)
    return [preset_document(found) for found in preset_list(kind=kind, favourite=request.GET.get("favourite") == "1")]


@api("POST", takes_list=True)
def presets_import(request: HttpRequest, kind: str) -> Any:
    """Save exported presets, one object or a list: 201. ?on_clash=rename (the default) or refuse."""
    kind_get(kind)
    on_clash = choice_asked(request.GET, "on_clash", ON_CLASH, default="rename")
    made = services.presets_import(content=request.json, on_clash=on_clash, kind=kind)
    return 201, {"items": [preset_json(found) for found in made]}
