"""What an activation cache would be, before it is made: what it reads, how wide it is, how much disk it may take."""

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Sum

from apps.activations.models import ActivationCache
from apps.core.errors import AppError
from apps.core.references import references_to
from apps.core.room import room_require
from apps.core.templatetags.studio import bytes_words
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_fit import tokenization_require_fit
from apps.datasets.tokenization_selectors import tokenization_ready
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_ready, site_width
from workers.engine.specs.activations import HELD_OUT_TOKENS, ActivationCacheSpec

BFLOAT16_BYTES = 2
HELD_OUT_PARTS = 8
"""Held-out rows are at most an eighth of the others."""
MOST_NAMED = 3
"""Caches that a refusal proposes for deletion."""


@dataclass(frozen=True)
class CachePlan:
    """A cache that could be made: all that it refers to is ready and fits together."""

    language_model: LanguageModel
    tokenizations: tuple[Tokenization, ...]
    """The first of its texts, then the further ones."""
    d_in: int
    d_out: int | None
    """Width of mlp_out in a paired cache."""
    tokens: int
    """Most rows of the training part."""
    held_out_tokens: int
    """Most rows of the held-out part."""

    @property
    def bytes(self) -> int:
        """Most bytes on disk, in bfloat16."""
        return (self.tokens + self.held_out_tokens) * (self.d_in + (self.d_out or 0)) * BFLOAT16_BYTES


def cache_plan(spec: ActivationCacheSpec) -> CachePlan:
    """What the Spec asks for. AppError: references not ready, texts that do not fit the language model or each other, no
    such hook site."""
    language_model = language_model_ready(spec.language_model)
    tokenizations = texts_fitting(language_model, spec.tokenization, spec.more_tokenizations)
    d_in = site_width(language_model, spec.layer, spec.site)
    d_out = site_width(language_model, spec.layer, "mlp_out") if spec.is_paired else None
    # Position 0 of each context is left out.
    tokens = min(spec.max_tokens, sum(text.contexts * (text.context_length - 1) for text in tokenizations))
    held_out = sum(text.heldout_contexts * (text.context_length - 1) for text in tokenizations)
    return CachePlan(
        language_model=language_model,
        tokenizations=tokenizations,
        d_in=d_in,
        d_out=d_out,
        tokens=tokens,
        held_out_tokens=min(held_out, HELD_OUT_TOKENS, tokens // HELD_OUT_PARTS),
    )


def texts_fitting(language_model: LanguageModel, first: int, more: tuple[int, ...]) -> tuple[Tokenization, ...]:
    """The tokenizations with these ids, all ready, of the model's tokenizer and of one context length. AppError with the
    field `tokenization` or `more_tokenizations` otherwise."""
    texts = [tokenization_ready(first)]
    tokenization_require_fit(texts[0], language_model)
    for pk in more:
        try:
            text = tokenization_ready(pk)
            tokenization_require_fit(text, language_model)
            _require_beside(text, texts)
        except AppError as error:
            error.field = "more_tokenizations"
            raise
        texts.append(text)
    return tuple(texts)


def _require_beside(text: Tokenization, others: list[Tokenization]) -> None:
    """A further text has the context length of the first and is none of those already there."""
    if text in others:
        raise AppError("text_twice", f"{text} stands there twice.", "Choose each text once.")
    if text.context_length != others[0].context_length:
        raise AppError(
            "context_length_differs",
            f"{text} has contexts of {text.context_length:,} tokens, {others[0]} of {others[0].context_length:,}.",
            f"Tokenize {text.dataset} with contexts of {others[0].context_length:,}.",
        )


def require_room(plan: CachePlan) -> None:
    """The disk and the budget of MISTUDIO_ACTIVATIONS_MAX_GB hold one more cache: AppError "disk_full" or
    "activations_budget", which names what could go."""
    room_require(plan.bytes, "The cache", "Cache fewer tokens, or delete what is no longer needed.", field="max_tokens")
    budget, taken = settings.ACTIVATIONS_MAX_BYTES, taken_bytes()
    if budget is not None and taken + plan.bytes > budget:
        raise AppError(
            "activations_budget",
            f"All activation caches may take {bytes_words(budget)} (MISTUDIO_ACTIVATIONS_MAX_GB): "
            f"{bytes_words(taken)} are taken or promised, this one may take {bytes_words(plan.bytes)}.",
            _what_could_go(),
            field="max_tokens",
        )


def taken_bytes() -> int:
    """What caches take on disk, and what those under way may come to take."""
    ready = ActivationCache.objects.aggregate(sum=Sum("bytes"))["sum"] or 0
    return ready + sum(_promised_bytes(cache) for cache in ActivationCache.objects.filter(ready_at__isnull=True))


def _promised_bytes(cache: ActivationCache) -> int:
    """Most bytes of a cache under way; 0 when nothing makes it."""
    job = cache.job
    if job is None or not job.is_active:
        return 0
    try:
        return cache_plan(job.loaded_spec).bytes
    except AppError:  # its texts or model are gone: the job will fail
        return 0


def _what_could_go() -> str:
    """The largest caches that nothing stands on, in words."""
    found = ActivationCache.objects.filter(ready_at__isnull=False).select_related("language_model").order_by("-bytes")
    unused = [cache for cache in found if not references_to(cache)][:MOST_NAMED]
    if not unused:
        return "Cache fewer tokens, or raise the limit: a training run stands on every cache."
    names = "; ".join(f"{cache}, id {cache.pk}, {bytes_words(cache.bytes)}" for cache in unused)
    return f"Cache fewer tokens, raise the limit, or delete what nothing stands on: {names}."
