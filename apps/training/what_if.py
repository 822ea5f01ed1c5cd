"""What if: memory of caching activations and of training an SAE at one hook site, for settings that can be played with.

The two are jobs of their own, one after the other. A training on a cache holds the language model too, for CE and KL at its
checkpoints, unless that is switched off; the largest dictionary is measured against what is free beside it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from django import forms
from django.http import QueryDict

from apps.core.asking import whole_or_none
from apps.core.errors import AppError
from apps.core.fit import FitWord, fit_word
from apps.core.pages import form_refuse
from apps.core.spec_forms import spec_form
from apps.language_models.fit import ModelShape, context_within, model_need
from apps.language_models.hook_sites import USUAL_EXPANSION
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_ready, site_width
from apps.training.estimates import lm_bytes
from workers.engine.monitor.devices import Device, devices
from workers.engine.specs.activations import ActivationCacheSpec
from workers.engine.specs.base import Spec
from workers.engine.specs.tokenization import TokenizeSpec
from workers.engine.specs.training import TRANSCODERS, TrainSpec
from workers.engine.specs.training_memory import largest_d_sae, training_memory

ANY_ROW = 1
"""Memory does not depend on which cache is read."""

FIELDS: dict[type[Spec], tuple[str, ...]] = {
    ActivationCacheSpec: ("language_model", "layer", "site", "batch_contexts"),
    TokenizeSpec: ("context_length",),
    TrainSpec: ("architecture", "d_sae", "batch_size"),
}
"""The settings that memory depends on, each with the field of the Spec that owns it."""


@cache
def what_if_form() -> type[forms.Form]:
    """The form class: labels, ranges and help of the Specs."""
    fields = {name: spec_form(spec).base_fields[name] for spec, names in FIELDS.items() for name in names}
    return type("WhatIfForm", (forms.Form,), fields)


@dataclass(frozen=True)
class Segment:
    """A part of a stacked bar; `share` is of the bar's whole length."""

    label: str
    bytes: int
    share: float
    kind: str
    """"a", "b" and "c" are what is needed, "free" is left over."""


@dataclass(frozen=True)
class Bar:
    """What one job needs of a device's free memory. `limit` is where the free memory ends, as a share of the bar."""

    title: str
    segments: tuple[Segment, ...]
    needed_bytes: int
    limit: float
    verdict: FitWord


@dataclass(frozen=True)
class DeviceBars:
    """One device: both bars, and the largest dictionary that it can train."""

    name: str
    free_bytes: int
    total_bytes: int
    bars: tuple[Bar, ...]
    largest_d_sae: int


def usual_settings(language_model: LanguageModel) -> dict[str, Any]:
    """Where playing starts: the middle of the model, and the defaults of the forms that start the jobs."""
    layer = language_model.layers // 2
    entries = language_model.report.get("hook_sites", [])
    widths = {entry["site"]: entry["width"] for entry in entries if entry["layer"] == layer}
    site = "resid_post" if "resid_post" in widths else next(iter(widths), "resid_post")
    return {
        "language_model": language_model.pk,
        "layer": layer,
        "site": site,
        "context_length": TokenizeSpec.context_length,
        "batch_contexts": ActivationCacheSpec.batch_contexts,
        "architecture": TrainSpec.architecture,
        "d_sae": USUAL_EXPANSION * widths.get(site, language_model.d_model),
        "batch_size": TrainSpec.batch_size,
    }


def what_if(query: QueryDict) -> dict[str, Any]:
    """Form and bars for a query string; settings that it leaves out are the usual ones, bad ones are marked.

    AppError when ?language_model= names none that is ready.
    """
    language_model = language_model_ready(whole_or_none(query.get("language_model")) or 0)
    form = what_if_form()({**usual_settings(language_model), **query.dict()})
    bars = None
    if form.is_valid():
        try:
            bars = device_bars(language_model, form.cleaned_data)
        except AppError as error:
            form_refuse(form, error)
    return {"form": form, "language_model": language_model, "devices": bars}


def device_bars(language_model: LanguageModel, settings: dict[str, Any]) -> list[DeviceBars]:
    """The bars of every device of this machine. AppError "no_such_hook_site" where the layer lacks the site."""
    is_transcoder = settings["architecture"] in TRANSCODERS
    site = "mlp_in" if is_transcoder else settings["site"]
    d_in = site_width(language_model, settings["layer"], site)
    d_out = site_width(language_model, settings["layer"], "mlp_out") if is_transcoder else d_in
    widths = ((d_in, d_out),)
    d_sae = settings["d_sae"]
    spec = TrainSpec(
        activation_cache=ANY_ROW,
        architecture=settings["architecture"],
        d_sae=d_sae,
        k=min(TrainSpec.k, d_sae),
        batch_size=settings["batch_size"],
    )
    return [
        DeviceBars(
            name=device.name,
            free_bytes=device.free_bytes,
            total_bytes=device.total_bytes,
            bars=(_caching_bar(language_model, settings, device), _training_bar(spec, widths, device, lm)),
            largest_d_sae=largest_d_sae(spec, widths, max(0, device.free_bytes - lm), device=device.name),
        )
        for device in devices()
        for lm in (_lm_bytes(language_model, settings, device),)
    ]


def _lm_bytes(language_model: LanguageModel, settings: dict[str, Any], device: Device) -> int:
    """The language model beside a training on its cache."""
    return lm_bytes(language_model, device, context_length=settings["context_length"], batch=TrainSpec.ce_contexts)


def _caching_bar(language_model: LanguageModel, settings: dict[str, Any], device: Device) -> Bar:
    shape = ModelShape.from_report(language_model.report)
    quantization = language_model.quantization or shape.published
    need = model_need(
        shape,
        quantization,
        device,
        context_length=context_within(shape, settings["context_length"]),
        batch=settings["batch_contexts"],
    )
    parts = ((f"model in {quantization}", need.weights_bytes), ("forward pass", need.working_bytes))
    return _bar("Cache activations", parts, device.free_bytes)


def _training_bar(spec: TrainSpec, widths: tuple[tuple[int, int], ...], device: Device, lm: int) -> Bar:
    memory = training_memory(spec, widths, device=device.name)
    parts = (
        ("SAE and Adam", memory.state_bytes),
        ("SAE batch", memory.stream_bytes + memory.passing_bytes),
        ("model, for CE at checkpoints", lm),
    )
    return _bar("Train the SAE", parts, device.free_bytes)


def _bar(title: str, parts: tuple[tuple[str, int], ...], free_bytes: int) -> Bar:
    """A bar as long as what is free, or as what is needed where that is more."""
    needed = sum(size for _, size in parts)
    whole = max(needed, free_bytes, 1)
    segments = [Segment(label, size, size / whole, kind) for (label, size), kind in zip(parts, "abc")]
    left = max(0, free_bytes - needed)
    return Bar(
        title=title,
        segments=(*segments, Segment("free", left, left / whole, "free")),
        needed_bytes=needed,
        limit=free_bytes / whole,
        verdict=fit_word(needed_bytes=needed, free_bytes=free_bytes),
    )
