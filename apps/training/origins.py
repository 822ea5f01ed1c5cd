"""Where the activations of a training come from, in rows: an activation cache, or a language model on texts."""

from dataclasses import dataclass

from apps.activations.models import ActivationCache
from apps.core.errors import AppError
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_fit import tokenization_require_fit
from apps.datasets.tokenization_selectors import tokenization_ready
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_ready, site_width
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainSpec


@dataclass(frozen=True)
class Origin:
    """The rows behind a Spec. `widths` has (d_in, d_out) of each of `hook_sites`."""

    language_model: LanguageModel
    tokenizations: tuple[Tokenization, ...]
    hook_sites: tuple[HookSite, ...]
    widths: tuple[tuple[int, int], ...]
    cache: ActivationCache | None = None


def origin_of(spec: TrainSpec) -> Origin:
    """The rows that `spec` names, checked against each other. AppError with the field that is wrong."""
    return _cached(spec) if spec.source == "cache" else _from_text(spec)


def _cached(spec: TrainSpec) -> Origin:
    caches = ActivationCache.objects.select_related("tokenization__dataset", "language_model")
    cache = caches.filter(pk=spec.activation_cache, ready_at__isnull=False).first()
    if cache is None:
        raise AppError(
            "cache_not_ready",
            f"Activation cache {spec.activation_cache} does not exist or is not ready.",
            "Choose a ready one, or wait until its job has ended.",
            field="activation_cache",
        )
    if cache.tokens < spec.batch_size:
        raise AppError(
            "too_few_tokens",
            f"The cache holds {cache.tokens:,} tokens, fewer than one batch of {spec.batch_size:,}.",
            "Choose a smaller batch, or cache more tokens.",
            field="batch_size",
        )
    if spec.is_transcoder and not cache.is_paired:
        raise AppError(
            "cache_not_paired",
            f"A transcoder learns pairs of mlp_in and mlp_out; the cache {cache} keeps {cache.site} alone.",
            "Cache mlp_in with “keep the MLP's output too”, or train on text.",
            field="activation_cache",
        )
    d_out = cache.report.get("d_out") if spec.is_transcoder else cache.d_in
    return Origin(
        language_model=cache.language_model,
        tokenizations=(cache.tokenization, *(text.tokenization for text in cache.texts.select_related("tokenization"))),
        hook_sites=(HookSite(layer=cache.layer, site=cache.site),),
        widths=((cache.d_in, d_out or cache.d_in),),
        cache=cache,
    )


def _from_text(spec: TrainSpec) -> Origin:
    language_model = language_model_ready(spec.language_model)
    tokenizations = tuple(tokenization_ready(pk) for pk in (spec.tokenization, *spec.more_tokenizations))
    _texts_require_fit(language_model, tokenizations)
    sites = tuple(HookSite.parse(text) for text in spec.hook_sites)
    return Origin(
        language_model=language_model,
        tokenizations=tokenizations,
        hook_sites=sites,
        widths=tuple(_widths(language_model, site, is_transcoder=spec.is_transcoder) for site in sites),
    )


def _texts_require_fit(language_model: LanguageModel, tokenizations: tuple[Tokenization, ...]) -> None:
    """The model reads them all, and they have one context length."""
    first = tokenizations[0]
    for tokenization in tokenizations:
        tokenization_require_fit(
            tokenization, language_model, field="tokenization" if tokenization is first else "more_tokenizations"
        )
        if tokenization.context_length != first.context_length:
            raise AppError(
                "context_length_mismatch",
                f"{tokenization} has contexts of {tokenization.context_length} tokens, {first} of {first.context_length}.",
                "Mix tokenizations of one context length.",
                field="more_tokenizations",
            )
    if len({tokenization.pk for tokenization in tokenizations}) < len(tokenizations):
        raise AppError(
            "text_twice", "A tokenization stands there twice.", "Name each once.", field="more_tokenizations"
        )


def _widths(language_model: LanguageModel, site: HookSite, *, is_transcoder: bool) -> tuple[int, int]:
    try:
        d_in = site_width(language_model, site.layer, site.site)
        return d_in, site_width(language_model, site.layer, "mlp_out") if is_transcoder else d_in
    except AppError as error:
        error.field = "hook_sites"
        raise


def cache_that_fits(spec: TrainSpec, origin: Origin) -> ActivationCache | None:
    """A ready cache that holds what a training on text would harvest, the largest; None without one.

    It has the same model, held alike, the same texts and hook site, the same handling of special tokens, pairs for a
    transcoder, and either every token of the texts or as many as the steps take.
    """
    if not spec.use_cache or len(origin.hook_sites) != 1:
        return None
    site, first = origin.hook_sites[0], origin.tokenizations[0]
    caches = ActivationCache.objects.filter(
        language_model=origin.language_model,
        tokenization=first,
        layer=site.layer,
        site=site.site,
        ready_at__isnull=False,
        tokens__gte=spec.batch_size,
    ).order_by("-tokens")
    if spec.is_transcoder:
        caches = caches.filter(is_paired=True)
    return next((cache for cache in caches if _holds(cache, spec, origin)), None)


def _holds(cache: ActivationCache, spec: TrainSpec, origin: Origin) -> bool:
    texts = [cache.tokenization_id, *cache.texts.values_list("tokenization", flat=True)]
    if texts != [tokenization.pk for tokenization in origin.tokenizations]:
        return False
    job = cache.job
    if len(texts) > 1 and (job is None or job.spec.get("mixing") != spec.mixing):
        return False
    has_all_text = cache.report.get("contexts", 0) >= sum(
        tokenization.contexts for tokenization in origin.tokenizations
    )
    if bool(cache.report.get("excluded_tokens")) != spec.leave_out_special:
        return False
    held, held_then = origin.language_model.quantization, cache.report.get("quantization")
    if held and held_then and held != held_then:
        return False
    is_right_dtype = spec.lm_dtype in ("auto", cache.report.get("lm_dtype"))
    return is_right_dtype and (has_all_text or cache.tokens >= spec.steps * spec.batch_size)
