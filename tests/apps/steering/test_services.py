"""What steering refuses before a job is made."""

import pytest

from apps.core.errors import AppError, NotFound
from apps.jobs.models import Job
from apps.steering.services import experiment_delete, experiment_save, experiment_start
from tests.apps.features.worlds import finished_run_make, sae_make
from tests.apps.steering.worlds import finished_experiment_make
from workers.engine.specs.steering import SteeredFeature, SteerSpec

pytestmark = pytest.mark.django_db


def spec_of(sae_id, index=4, strength=1.0, **options):
    features = (SteeredFeature(index=index, strength=strength),)
    return SteerSpec(sae=sae_id, features=features, prompt="The weather", **options)


@pytest.mark.parametrize("index", [-1, 6, 10**9])
def test_a_feature_that_the_sae_does_not_have_is_refused(index):
    with pytest.raises(AppError, match="has no feature") as refused:
        experiment_start(spec=spec_of(sae_make().pk, index=index, unit="raw"))
    assert refused.value.field == "features"


def test_multiples_of_the_max_activation_need_a_feature_run():
    with pytest.raises(AppError, match="no feature run") as refused:
        experiment_start(spec=spec_of(sae_make().pk))
    assert refused.value.field == "unit"


def test_a_feature_that_never_fired_has_no_max_activation():
    sae = sae_make()
    finished_run_make(sae)
    with pytest.raises(AppError, match="Feature 0 never fired"):
        experiment_start(spec=spec_of(sae.pk, index=0))


def test_an_unknown_sae_is_not_found_and_leaves_no_job():
    with pytest.raises(NotFound):
        experiment_start(spec=spec_of(99))
    assert not Job.objects.exists()


def test_a_name_is_trimmed_and_marks_the_experiment_as_saved():
    experiment = experiment_save(experiment=finished_experiment_make(sae_make()), name="  Windy ")
    assert (experiment.name, experiment.is_saved) == ("Windy", True)


def test_a_finished_experiment_is_deleted_with_its_texts():
    experiment = finished_experiment_make(sae_make())
    generations = type(experiment.generations.first()).objects
    experiment_delete(experiment=experiment)
    assert not generations.exists()
