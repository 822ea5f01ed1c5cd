"""`manage.py language_model_import`: bring a language model into the studio."""

from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.language_models.services import language_model_import
from workers.engine.specs.language_models import LanguageModelImportSpec


class Command(SpecCommand):
    help = "Bring a language model into the studio."
    spec_class = LanguageModelImportSpec

    def start(self, spec: LanguageModelImportSpec) -> Job:
        return language_model_import(spec=spec).job
