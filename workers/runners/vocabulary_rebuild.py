"""Rebuild vocabulary: the model's vocabulary.parquet, the copies beside its feature runs, and the words of their features."""

import os
import shutil
from pathlib import Path

from apps.features.artifacts import run_folder
from apps.features.models import FeatureRun
from apps.features.run_rows import rows_write, terms_write
from apps.jobs.models import Job
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_folder, language_model_ready
from workers.engine.specs.features import NAMES
from workers.engine.specs.language_models import (
    VocabularyRebuildInputs,
    VocabularyRebuildResult,
    VocabularyRebuildSpec,
)
from workers.engine.text.spelling import VOCABULARY_NAME
from workers.runners.base import Runner


class VocabularyRebuildRunner(Runner):
    """The model stays ready all along; its own file is replaced last, so that a broken end is done over."""

    spec = VocabularyRebuildSpec
    inputs = VocabularyRebuildInputs
    result = VocabularyRebuildResult

    def prepare(self, job: Job, spec: VocabularyRebuildSpec, where: dict[str, str]) -> VocabularyRebuildInputs:
        self.subject(job)
        language_model = language_model_ready(spec.language_model)
        return VocabularyRebuildInputs(**where, model_dir=str(language_model_folder(language_model.pk)))

    def finish(self, job: Job, spec: VocabularyRebuildSpec, result: VocabularyRebuildResult, out_dir: str) -> None:
        language_model: LanguageModel = self.subject(job)
        made = Path(out_dir) / VOCABULARY_NAME
        runs = FeatureRun.objects.select_related("sae").filter(
            sae__language_model=language_model, ready_at__isnull=False
        )
        for run in runs:
            folder = run_folder(run.pk)
            if not folder.is_dir():
                continue
            _replace(made, folder)
            if run.sae.features.filter(run=run).exists():
                terms_write(run.sae_id, folder)
                if (folder / NAMES).exists():  # a run of an older version gave its features no names
                    rows_write(run, folder, run.sae.d_sae)
        _replace(made, language_model_folder(language_model.pk))


def _replace(made: Path, folder: Path) -> None:
    """A copy of the vocabulary in place of the folder's own, at once or not at all."""
    draft = folder / f"{VOCABULARY_NAME}.new"
    shutil.copyfile(made, draft)
    os.replace(draft, folder / VOCABULARY_NAME)
