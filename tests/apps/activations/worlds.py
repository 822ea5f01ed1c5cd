"""What tests of activation caches share."""

from apps.activations.models import ActivationCache
from apps.training.models import TrainingRun

PAIRED_SITES = (("resid_post", 32), ("mlp_in", 32), ("mlp_out", 32))


def run_on(cache: ActivationCache, name: str = "") -> TrainingRun:
    """A training run that stands on a cache."""
    return TrainingRun.objects.create(
        name=name,
        activation_cache=cache,
        language_model=cache.language_model,
        tokenization=cache.tokenization,
        architecture="topk",
        d_sae=64,
        steps=10,
        spec={},
    )
