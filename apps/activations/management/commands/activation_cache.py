"""`manage.py activation_cache`: keep a language model's activations at one hook site on disk."""

from apps.activations.services import activation_cache_create
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from workers.engine.specs.activations import ActivationCacheSpec


class Command(SpecCommand):
    help = "Keep a language model's activations at one hook site on disk."
    spec_class = ActivationCacheSpec

    def start(self, spec: ActivationCacheSpec) -> Job:
        return activation_cache_create(spec=spec).job
