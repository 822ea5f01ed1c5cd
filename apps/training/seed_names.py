"""Bodies of POST /api/v1/trainings in the seed's names; apps/presets/seed_names.py holds the names themselves.

Here is checked what only rows can tell: `hidden_dim` is the width of the activations, and the hook sites that the seed
calls `training_layers` and `hook_types` are those of the activation cache when one is named.
"""

from collections.abc import Mapping
from typing import Any

from apps.activations.models import ActivationCache
from apps.core.asking import row_or_none
from apps.core.errors import AppError
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import site_width
from apps.presets.seed_names import seed_names_translate
from workers.engine.specs.hook_site import HookSite


def from_seed_names(body: Any) -> Any:
    """The body in today's names; what is no JSON object comes back as it is. AppError "spec_invalid" with the seed's name
    as field when names contradict each other, "width_differs" or "hook_site_differs" when rows do."""
    if not isinstance(body, Mapping):
        return body
    options, hidden_dim = seed_names_translate(body)
    if "training_layers" in body or "hook_types" in body:
        _hook_sites_check(options)
    if hidden_dim is not None:
        _width_check(options, hidden_dim)
    return options


def _hook_sites_check(options: Mapping[str, Any]) -> None:
    cache = _row(ActivationCache, options.get("activation_cache"))
    if cache is not None and options.get("hook_sites") not in (None, [cache.hook_site]):
        raise AppError(
            "hook_site_differs",
            f"The activation cache holds {cache.hook_site}, not {', '.join(options['hook_sites'])}.",
            "Leave training_layers and hook_types out, or choose another cache.",
            field="training_layers",
        )


def _width_check(options: Mapping[str, Any], hidden_dim: int) -> None:
    """hidden_dim against the cache's width, or the language model's at each hook site; nothing without either."""
    for place, width in _widths(options):
        if width != hidden_dim:
            raise AppError(
                "width_differs",
                f"hidden_dim = {hidden_dim}, but activations at {place} have width {width}.",
                "Leave hidden_dim out: the width follows from the activations.",
                field="hidden_dim",
            )


def _widths(options: Mapping[str, Any]) -> list[tuple[str, int]]:
    """(place, width) of all activations that the body asks for, as far as its rows exist."""
    cache = _row(ActivationCache, options.get("activation_cache"))
    if cache is not None:
        return [(cache.hook_site, cache.d_in)]
    language_model, sites = _row(LanguageModel, options.get("language_model")), options.get("hook_sites")
    if language_model is None or not language_model.is_ready or not isinstance(sites, list):
        return []
    parsed = [HookSite.parse(str(site)) for site in sites]
    return [(str(site), site_width(language_model, site.layer, site.site)) for site in parsed]


def _row(model: type[Any], pk: Any) -> Any:
    """The row that a body names, or None: whether it may be used is checked with the Spec."""
    return row_or_none(model._default_manager.all(), pk)
