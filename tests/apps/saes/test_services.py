"""Renaming, evaluating and deleting SAEs."""

import pytest
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.datasets.models import Tokenization
from apps.exports.models import Export
from apps.features.models import Feature, FeatureRun
from apps.jobs.states import State
from apps.saes import services
from apps.saes.models import Evaluation, Sae
from apps.steering.models import Experiment
from apps.training.services import training_delete
from tests.apps.training.worlds import evaluation_finish, sae_make
from workers.engine.specs.saes import EvaluateSpec

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def other_tokenization(sae: Sae, **changes: object) -> Tokenization:
    known = sae.tokenization
    fields = {"dataset": known.dataset, "language_model": known.language_model, "context_length": 32}
    ready = {"heldout_contexts": 5, "tokenizer_sha256": known.tokenizer_sha256, "ready_at": timezone.now()}
    return Tokenization.objects.create(**{**fields, **ready, **changes})


def test_an_evaluation_is_queued_for_a_tokenization_of_the_same_tokenizer(owner):
    sae = sae_make()
    spec = EvaluateSpec(sae=sae.pk, tokenization=other_tokenization(sae).pk)
    evaluation = services.evaluation_start(spec=spec, user=owner)
    assert evaluation.job.state == State.QUEUED and evaluation.created_by == owner


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tokenizer_sha256": "x" * 64}, "tokenizer_mismatch"),
        ({"context_length": 4_096}, "context_too_long"),
        ({"heldout_contexts": 0}, "nothing_held_out"),
        ({"ready_at": None}, "tokenization_not_ready"),
    ],
)
def test_unfit_tokenizations_are_refused_before_a_row_exists(changes, code):
    sae = sae_make()
    sae.language_model.report |= {"max_context": 128}
    sae.language_model.save()
    before = Evaluation.objects.count()
    with pytest.raises(AppError) as refused:
        services.evaluation_start(spec=EvaluateSpec(sae=sae.pk, tokenization=other_tokenization(sae, **changes).pk))
    assert (refused.value.code, refused.value.field) == (code, "tokenization")
    assert Evaluation.objects.count() == before


def test_an_sae_under_evaluation_cannot_be_deleted():
    sae = sae_make()
    with pytest.raises(AppError) as refused:
        services.sae_delete(sae=sae)
    assert refused.value.code == "job_active" and Sae.objects.exists()


def test_a_deleted_sae_takes_everything_measured_of_it_and_frees_all_folders():
    sae = sae_make()
    evaluation_finish(sae.evaluations.get())
    run = FeatureRun.objects.create(sae=sae, tokenization=sae.tokenization)
    export = Export.objects.create(sae=sae, format="saelens")
    Feature.objects.create(sae=sae, run=run, index=3, label="rain")
    Experiment.objects.create(sae=sae, spec={}, prompt="It")
    for folder, pk in (("features", run.pk), ("exports", export.pk)):
        data_path(folder, pk).mkdir(parents=True)
        (data_path(folder, pk) / "file").write_bytes(b"123")
    losses = ["1 evaluation", "1 feature run", "1 label", "1 steering experiment", "1 export"]
    assert services.sae_losses(sae) == losses

    training_run = sae.training_run
    assert services.sae_delete(sae=sae) == 3 + 3 + len("{}")
    for model in (Sae, Evaluation, FeatureRun, Feature, Export, Experiment):
        assert not model.objects.exists()
    assert not any(data_path(folder, run.pk).exists() for folder in ("features", "exports", "saes"))
    training_delete(run=training_run)  # nothing stands on the run any more


def test_an_evaluation_alone_can_be_deleted_with_its_densities():
    sae = sae_make()
    evaluation = sae.evaluations.get()
    with pytest.raises(AppError):
        services.evaluation_delete(evaluation=evaluation)
    evaluation_finish(evaluation)
    folder = data_path("saes", sae.pk, "evaluations", evaluation.pk)
    folder.mkdir(parents=True)
    (folder / "density.safetensors").write_bytes(b"12345")
    assert services.evaluation_delete(evaluation=evaluation) == 5
    assert not folder.exists() and data_path("saes", sae.pk).exists()
