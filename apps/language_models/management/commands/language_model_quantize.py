"""`manage.py language_model_quantize --language-model ID --quantization nf4`: hold a model in another quantization."""

from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.language_models.services import language_model_quantize
from workers.engine.specs.language_models import LanguageModelQuantizeSpec


class Command(SpecCommand):
    help = "Hold a language model in another quantization; its files and all that refers to it stay."
    spec_class = LanguageModelQuantizeSpec

    def start(self, spec: LanguageModelQuantizeSpec) -> Job:
        return language_model_quantize(spec=spec).job
