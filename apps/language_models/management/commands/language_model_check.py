"""`manage.py language_model_check --language-model ID`: are its weights still those of the import?"""

from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.language_models.services import language_model_check
from workers.engine.specs.language_models import LanguageModelCheckSpec


class Command(SpecCommand):
    help = "Read a language model's weights again; the job fails when they are no longer those of the import."
    spec_class = LanguageModelCheckSpec

    def start(self, spec: LanguageModelCheckSpec) -> Job:
        return language_model_check(spec=spec).job
