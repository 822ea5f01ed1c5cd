"""Vocabularies of an older version are stored again by a job: the model's, its feature runs', the words of their rows."""

import pytest

from apps.core.storage import data_path
from apps.features.models import FeatureTerm
from apps.jobs.models import Job
from apps.jobs.states import State
from apps.language_models.services import vocabularies_rebuild
from apps.language_models.vocabulary import vocabulary_of
from tests.apps.features import worlds
from tests.apps.prepared import make_language_model, vocabulary_write
from tests.engine.tiny_models import tiny_tokenizer
from workers.engine.language_models.vocabulary import vocabulary_rebuild
from workers.engine.progress import Progress
from workers.engine.specs.language_models import VocabularyRebuildInputs
from workers.engine.text.spelling import Spelling, TokenScheme, spelling_is_current
from workers.runners.registry import runner_for

pytestmark = pytest.mark.django_db
NAME = "vocabulary.parquet"


def old(language_model) -> None:
    """As a version without spellings stored it."""
    vocabulary_write(data_path("models", language_model.pk), worlds.VOCABULARY, None)


def run(job: Job, folder) -> None:
    """Prepare, engine and finish of the job."""
    runner, spec = runner_for(job.kind), job.loaded_spec
    (folder / "out").mkdir()
    where = {"job_dir": str(folder), "out_dir": str(folder / "out"), "device": "cpu"}
    inputs = runner.prepare(job, spec, where)
    runner.finish(job, spec, vocabulary_rebuild(spec, inputs, Progress()), where["out_dir"])
    Job.objects.filter(pk=job.pk).update(state=State.SUCCEEDED)


def test_only_vocabularies_of_another_version_get_a_job_and_only_one():
    current, stale = make_language_model(name="current"), make_language_model(name="stale")
    lost, gone = make_language_model(name="lost"), worlds.language_model_make()
    old(stale)
    data_path("models", lost.pk, NAME).unlink()
    data_path("models", gone.pk, NAME).unlink()
    data_path("models", gone.pk).rmdir()
    made = vocabularies_rebuild()
    assert {job.subject_id for job in made} == {stale.pk, lost.pk} and current.pk not in {j.subject_id for j in made}
    assert {(job.kind, job.queue, job.title) for job in made} == {("vocabulary_rebuild", "io", "Rebuild vocabulary")}
    assert vocabularies_rebuild() == [], "those under way do it"


def test_the_job_stores_the_spelling_and_the_model_stays_ready(tmp_path):
    language_model = make_language_model()
    folder, was_ready = data_path("models", language_model.pk), language_model.ready_at
    tiny_tokenizer().save_pretrained(folder)
    old(language_model)
    (job,) = vocabularies_rebuild()
    run(job, tmp_path)
    vocabulary = vocabulary_of(language_model.pk)
    assert vocabulary.spelling == Spelling(TokenScheme.BYTE_LEVEL, frozenset({"<s>", "</s>"}))
    assert vocabulary.raw([0, 1]) == ["<s>", "</s>"]
    language_model.refresh_from_db()
    assert language_model.ready_at == was_ready and vocabularies_rebuild() == []
    assert not list(folder.glob("*.new"))


def test_copies_beside_feature_runs_and_the_words_of_features_follow(tmp_path, monkeypatch):
    """The row says what an older version read of an added token; a label and the names of the run stay."""
    monkeypatch.setattr(worlds, "VOCABULARY", ["<|end|>", "Öl", *worlds.VOCABULARY[2:]])
    monkeypatch.setattr(worlds, "SPELLING", Spelling(TokenScheme.BYTE_LEVEL))
    sae = worlds.sae_make()
    finished = worlds.finished_run_make(sae)
    sae.features.filter(index=1).update(label="oil")
    named = sae.features.get(index=1).auto_name
    FeatureTerm.objects.filter(sae=sae, kind=FeatureTerm.Kind.FIRES_ON).delete()
    old(sae.language_model)
    vocabulary_write(data_path("features", finished.pk), worlds.VOCABULARY, None)
    (job,) = vocabularies_rebuild()
    (tmp_path / "out").mkdir()
    vocabulary_write(tmp_path / "out", worlds.VOCABULARY, Spelling(TokenScheme.BYTE_LEVEL, frozenset({"Öl"})))
    runner = runner_for(job.kind)
    runner.finish(job, job.loaded_spec, runner.result(tokens=8), str(tmp_path / "out"))
    assert spelling_is_current(data_path("features", finished.pk, NAME))
    row = sae.features.get(index=1)
    assert (row.auto_name, row.label, row.run_id) == (named, "oil", finished.pk)
    assert FeatureTerm.objects.get(sae=sae, kind=FeatureTerm.Kind.FIRES_ON, text="Öl").features.tolist() == [1]


def test_a_model_without_its_tokenizer_fails_in_words(tmp_path):
    spec = runner_for("vocabulary_rebuild").spec(language_model=1)
    inputs = VocabularyRebuildInputs(job_dir=str(tmp_path), out_dir=str(tmp_path), model_dir=str(tmp_path))
    with pytest.raises(Exception, match="tokenizer") as raised:
        vocabulary_rebuild(spec, inputs, Progress())
    assert raised.value.code == "bad_artifact"
