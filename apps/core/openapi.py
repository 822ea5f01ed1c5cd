"""The OpenAPI 3.1 description of /api/v1/, read from the URL patterns, the views' docstrings and the Specs."""

import dataclasses
import re
import typing
from collections.abc import Iterator
from dataclasses import MISSING
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from apps.core.api import JSON
from mistudio_site import __version__
from workers.engine.specs.base import Option, Spec

PREFIX = "api/v1/"
_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}

ERROR_SCHEMA: JSON = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "What happened."},
                "hint": {"type": "string", "description": "What to do about it."},
                "field": {"type": "string", "description": "The option at fault; empty when it is none alone."},
                "references": {"type": "array", "items": {"type": "string"}},
            },
        }
    },
}


def openapi() -> JSON:
    """The whole description as JSON values."""
    endpoints = list(_endpoints(get_resolver().url_patterns, ""))
    specs = {view.api_spec for _, view in endpoints if view.api_spec is not None}
    return {
        "openapi": "3.1.0",
        "info": {"title": "miStudio", "version": __version__},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": {_path(route): _operations(route, view) for route, view in endpoints},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": ERROR_SCHEMA,
                **{spec.__name__: spec_schema(spec) for spec in sorted(specs, key=lambda spec: spec.__name__)},
            },
        },
    }


def _endpoints(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, Any]]:
    """(route below /api/v1/, view) of every JSON endpoint."""
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _endpoints(pattern.url_patterns, route)
        elif route.startswith(PREFIX) and hasattr(pattern.callback, "api_methods"):
            yield route.removeprefix(PREFIX), pattern.callback


def _path(route: str) -> str:
    return "/" + _PARAMETER.sub(r"{\2}", route)


def _operations(route: str, view: Any) -> JSON:
    operations: JSON = {method.lower(): _operation(method, view) for method in view.api_methods}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer" if kind == "int" else "string"}}
        for kind, name in _PARAMETER.findall(route)
    ]
    return {"parameters": parameters, **operations} if parameters else operations


def _operation(method: str, view: Any) -> JSON:
    answers: JSON = {
        "2XX": {"description": "Success.", "content": {"application/json": {}}},
        "default": {
            "description": "What went wrong and what to do about it.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        },
    }
    operation: JSON = {"summary": " ".join((view.__doc__ or view.__name__).split()), "responses": answers}
    if view.api_spec is not None and method == "POST":
        reference = {"$ref": f"#/components/schemas/{view.api_spec.__name__}"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return operation


def spec_schema(spec: type[Spec]) -> JSON:
    """The JSON Schema of a Spec's options; what is left out takes its default."""
    hints = typing.get_type_hints(spec)
    defaults = {f.name: f.default for f in dataclasses.fields(spec)}
    options = spec.options()
    return {
        "type": "object",
        "description": " ".join((spec.__doc__ or "").split()),
        "properties": {name: _property(hints[name], option, defaults[name]) for name, option in options.items()},
        "required": [name for name in options if defaults[name] is MISSING],
        "additionalProperties": False,
    }


def _property(hint: Any, option: Option, default: Any) -> JSON:
    known: JSON = _type(hint) | {"title": option.label, "description": _description(option)}
    if default is not MISSING:
        known["default"] = default
    each = known["items"] if known["type"] == "array" else known
    if option.minimum is not None:
        each["minimum"] = option.minimum
    if option.maximum is not None:
        each["maximum"] = option.maximum
    if option.choices:
        each["enum"] = [value for value, _ in option.choices]
    if option.pattern:
        each["pattern"] = f"^({option.pattern})$"
    return known


def _type(hint: Any) -> JSON:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        if arguments[0] in _TYPES:
            return {"type": "array", "items": {"type": _TYPES[arguments[0]]}}
        inner = typing.get_type_hints(arguments[0])
        return {"type": "array", "items": {"type": "object", "properties": {n: _type(t) for n, t in inner.items()}}}
    if type(None) in arguments:
        inner = next(a for a in arguments if a is not type(None))
        return {"type": [_TYPES[inner], "null"]}
    return {"type": _TYPES[hint]}


def _description(option: Option) -> str:
    words = [option.help]
    if option.unit:
        words.append(f"Unit: {option.unit}.")
    if option.reference:
        words.append(f"The id of a {option.reference.split('.')[1]}.")
    if option.only_for:
        words.append(f"Only for {option.only_for[0]} = {' or '.join(option.only_for[1])}.")
    if option.source:
        words.append(f"Default from {option.source}.")
    return " ".join(words)
