"""The hook sites of a language model with what was made at each: SAEs with their FVU and L0, caches, training runs.

Caches, runs and SAEs belong to apps further right; they are reached by their reverse relations alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.http import urlencode

from apps.core.errors import AppError
from apps.core.templatetags.studio import significant
from apps.language_models.models import LanguageModel
from workers.engine.specs.hook_site import SITES

USUAL_EXPANSION = 8
"""Latents for each dimension of the activation, to begin with."""
MISSING = {
    "resid_pre": "the block's input is no single stream",
    "attn_z": "the block has no attention with an output projection",
    "attn_out": "the block has no attention that adds to the stream by itself",
    "resid_mid": "attention and MLP run side by side, or are one module: nothing lies between them",
    "mlp_in_pregain": "no norm with a gain stands right before the MLP: use mlp_in",
    "mlp_in": "the block has no MLP module",
    "mlp_out": "the block has no MLP that adds to the stream by itself",
    "resid_post": "the block's output is no single stream",
}
"""Why a block may lack a site, in words; in the order of the forward pass."""


@dataclass(frozen=True)
class SaeThere:
    """An SAE at a hook site with its newest evaluation's numbers; None before the first one."""

    row: Any
    fvu: float | None
    l0: float | None


@dataclass(frozen=True)
class RunThere:
    """A training run with an SAE at a hook site, and the newest measures of its best one there; None before the first."""

    row: Any
    fvu: float | None
    l0: float | None


@dataclass(frozen=True)
class SiteThere:
    """One hook site of one layer and what was made there."""

    language_model_id: int
    layer: int
    site: str
    width: int
    module: str
    saes: tuple[SaeThere, ...]
    caches: tuple[Any, ...]
    """Activation caches, newest first."""
    runs: tuple[RunThere, ...]
    """Training runs of SAEs here, newest first, whether they read a cache or text."""
    text: Any | None
    """The largest tokenization that this model can read."""

    @property
    def words(self) -> str:
        """What the site is."""
        return SITES[self.site]

    @property
    def name(self) -> str:
        """As everywhere: "15.resid_post"."""
        return f"{self.layer}.{self.site}"

    @cached_property
    def best(self) -> SaeThere | None:
        """The evaluated SAE with the lowest FVU."""
        measured = [sae for sae in self.saes if sae.fvu is not None]
        return min(measured, key=lambda sae: sae.fvu) if measured else None

    @property
    def summary(self) -> str:
        """ "2 SAEs, best FVU 0.21 at L0 43; 1 cache; 3 runs", or "" where nothing is."""
        saes = _counted(self.saes, "SAE")
        if self.best is not None:
            saes += f", best FVU {significant(self.best.fvu)} at L0 {significant(self.best.l0 or 0)}"
        return "; ".join(filter(None, [saes, _counted(self.caches, "cache"), _counted(self.runs, "run")]))

    @property
    def train_url(self) -> str:
        """The training form, filled in: with the newest ready cache here, else for this site straight from text."""
        ready = next((cache for cache in self.caches if cache.is_ready), None)
        if ready is not None:
            return f"{reverse('training:new')}?{urlencode({'activation_cache': ready.pk})}"
        query = {"source": "text", "language_model": self.language_model_id, "hook_sites": self.name}
        if self.text is not None:
            query["tokenization"] = self.text.pk
        return f"{reverse('training:new')}?{urlencode(query | {'d_sae': USUAL_EXPANSION * self.width})}"

    @property
    def cache_url(self) -> str:
        """The form that caches activations, prefilled with this site."""
        query = {"language_model": self.language_model_id, "layer": self.layer, "site": self.site}
        return f"{reverse('activations:new')}?{urlencode(query)}"


@dataclass(frozen=True)
class LayerSites:
    """The hook sites of one layer in the order of the forward pass, and those it lacks with the reason."""

    layer: int
    sites: tuple[SiteThere, ...]
    missing: tuple[tuple[str, str], ...]

    @property
    def saes(self) -> int:
        return sum(len(site.saes) for site in self.sites)

    @property
    def caches(self) -> int:
        return sum(len(site.caches) for site in self.sites)

    @cached_property
    def best(self) -> SaeThere | None:
        """The SAE of this layer with the lowest FVU."""
        found = [site.best for site in self.sites if site.best is not None]
        return min(found, key=lambda sae: sae.fvu) if found else None


def layers_with_sites(language_model: LanguageModel) -> list[LayerSites]:
    """All layers with their sites, and what was made at each."""
    saes, caches, members = (_by_site(found(language_model)) for found in (_saes, _caches, _members))
    text = language_model.tokenizations.filter(ready_at__isnull=False).order_by("-train_tokens").first()
    known: dict[int, dict[str, SiteThere]] = {}
    for entry in language_model.report.get("hook_sites", []):
        place = (entry["layer"], entry["site"])
        known.setdefault(entry["layer"], {})[entry["site"]] = SiteThere(
            language_model_id=language_model.pk,
            layer=entry["layer"],
            site=entry["site"],
            width=entry["width"],
            module=entry["module"],
            saes=tuple(_sae_there(sae) for sae in saes.get(place, [])),
            caches=tuple(caches.get(place, [])),
            runs=_runs_there(members.get(place, [])),
            text=text,
        )
    return [_layer(layer, known.get(layer, {})) for layer in range(language_model.layers)]


def _layer(layer: int, has: dict[str, SiteThere]) -> LayerSites:
    return LayerSites(
        layer=layer,
        sites=tuple(has[site] for site in MISSING if site in has),
        missing=tuple((site, why) for site, why in MISSING.items() if site not in has),
    )


def site_there(language_model: LanguageModel, layer: str, site: str) -> SiteThere:
    """One site by the words of a query string. AppError "no_such_hook_site" with the reason where the layer lacks it."""
    layers = {str(found.layer): found for found in layers_with_sites(language_model)}
    if layer not in layers:
        raise AppError(
            "no_such_hook_site",
            f"{language_model} has no layer {layer}.",
            f"Its layers are 0 to {language_model.layers - 1}.",
            field="layer",
        )
    for found in layers[layer].sites:
        if found.site == site:
            return found
    why = MISSING.get(site, "there is no hook site of that name")
    raise AppError(
        "no_such_hook_site",
        f"Layer {layer} of {language_model} has no {site}: {why}.",
        f"It has {', '.join(found.site for found in layers[layer].sites) or 'none'}.",
        field="site",
    )


def _saes(language_model: LanguageModel) -> QuerySet[Any]:
    return language_model.saes.prefetch_related("evaluations")


def _caches(language_model: LanguageModel) -> QuerySet[Any]:
    return language_model.activation_caches.select_related("tokenization__dataset")


def _members(language_model: LanguageModel) -> list[Any]:
    """The SAEs of all training runs, the newest run's first."""
    return [member for run in language_model.training_runs.prefetch_related("members") for member in run.members.all()]


def _by_site(rows: Iterable[Any]) -> dict[tuple[int, str], list[Any]]:
    found: dict[tuple[int, str], list[Any]] = {}
    for row in rows:
        found.setdefault((row.layer, row.site), []).append(row)
    return found


def _sae_there(sae: Any) -> SaeThere:
    newest = next((evaluation for evaluation in sae.evaluations.all() if evaluation.is_ready), None)
    return SaeThere(sae, newest.fvu if newest else None, newest.l0 if newest else None)


def _runs_there(members: Sequence[Any]) -> tuple[RunThere, ...]:
    """The runs of some SAEs, each once."""
    best: dict[Any, Any] = {}
    for member in members:
        known = best.setdefault(member.run, member)
        if member.fvu is not None and (known.fvu is None or member.fvu < known.fvu):
            best[member.run] = member
    return tuple(RunThere(run, member.fvu, member.l0) for run, member in best.items())


def _counted(rows: tuple[Any, ...], word: str) -> str:
    return f"{len(rows)} {word}{'s' if len(rows) > 1 else ''}" if rows else ""


def site_json(site: SiteThere) -> dict[str, Any]:
    """A hook site with what is there, as the API shows it."""
    return {
        "layer": site.layer,
        "site": site.site,
        "words": site.words,
        "width": site.width,
        "module": site.module,
        "saes": [
            {
                "id": sae.row.pk,
                "name": sae.row.name,
                "d_sae": sae.row.d_sae,
                "architecture": sae.row.architecture,
                "fvu": sae.fvu,
                "l0": sae.l0,
                "url": sae.row.get_absolute_url(),
            }
            for sae in site.saes
        ],
        "caches": [{"id": cache.pk, "tokens": cache.tokens, "url": cache.get_absolute_url()} for cache in site.caches],
        "runs": [
            {"id": run.row.pk, "name": run.row.name, "fvu": run.fvu, "l0": run.l0, "url": run.row.get_absolute_url()}
            for run in site.runs
        ],
        "links": {"train": site.train_url, "cache": site.cache_url},
    }
