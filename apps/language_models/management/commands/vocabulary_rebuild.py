"""`manage.py vocabulary_rebuild --language-model ID`: store its vocabulary again, as this version of the studio reads it."""

from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from apps.language_models.services import vocabulary_rebuild
from workers.engine.specs.language_models import VocabularyRebuildSpec


class Command(SpecCommand):
    help = "Store a language model's vocabulary again, with the copies beside its feature runs."
    spec_class = VocabularyRebuildSpec

    def start(self, spec: VocabularyRebuildSpec) -> Job:
        return vocabulary_rebuild(spec=spec).job
