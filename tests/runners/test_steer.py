"""The runner of steering: rows with max activations go in, texts and measurements come out."""

import pytest

from apps.core.errors import AppError
from apps.features.trying.services import text_try
from apps.steering.services import experiment_start
from tests.apps.features.worlds import finished_run_make, sae_make
from tests.apps.steering.worlds import result_make
from workers.engine.specs.steering import SteeredFeature, SteerSpec
from workers.engine.specs.try_text import TryTextSpec
from workers.runners.steer import SteerRunner
from workers.runners.try_text import TryTextRunner

pytestmark = pytest.mark.django_db
WHERE = {"job_dir": "j", "out_dir": "o", "device": "cpu"}


def spec_of(sae, *pairs, **options):
    features = tuple(SteeredFeature(index=i, strength=s) for i, s in pairs)
    return SteerSpec(sae=sae.pk, features=features, prompt="The weather", **options)


def test_max_activations_come_from_the_feature_rows_in_the_order_of_the_spec():
    sae = sae_make()
    finished_run_make(sae)
    spec = spec_of(sae, (4, 1.0), (2, -1.0))
    experiment = experiment_start(spec=spec)
    inputs = SteerRunner().prepare(experiment.job, spec, WHERE)
    assert inputs.max_activations == (4.0, 2.0)
    assert inputs.sae_dir.endswith(f"saes/{sae.pk}")


def test_raw_strengths_need_no_feature_run():
    sae = sae_make()
    spec = spec_of(sae, (4, 1.0), unit="raw")
    experiment = experiment_start(spec=spec)
    assert SteerRunner().prepare(experiment.job, spec, WHERE).max_activations == (0.0,)


def test_prepare_refuses_when_the_features_were_removed_meanwhile():
    sae = sae_make()
    finished_run_make(sae)
    spec = spec_of(sae, (4, 1.0))
    experiment = experiment_start(spec=spec)
    sae.features.all().delete()
    with pytest.raises(AppError, match="no feature run"):
        SteerRunner().prepare(experiment.job, spec, WHERE)


def test_finish_writes_both_texts_and_what_was_measured():
    sae = sae_make()
    spec = spec_of(sae, (4, 3.0), unit="raw", seed=11)
    experiment = experiment_start(spec=spec)
    SteerRunner().finish(experiment.job, spec, result_make(), "nowhere")
    experiment.refresh_from_db()
    assert experiment.is_ready and experiment.differs
    assert (experiment.delta_norm, experiment.activation_norm) == (3.0, 60.0)
    rows = list(experiment.generations.values_list("condition", "text", "tokens", "seed"))
    assert rows == [
        ("baseline", " is cold", ["Ġis", "Ġcold"], 11),
        ("steered", " is wind", ["Ġis", "Ġwind"], 11),
    ]
    assert experiment.report["hook_calls"] == 3


@pytest.mark.parametrize("begins", [True, False])
def test_prompts_and_tried_texts_begin_as_the_contexts_that_the_sae_was_trained_on(begins):
    sae = sae_make()
    sae.tokenization.report = {"first_token_id": 0 if begins else None}
    sae.tokenization.save()
    spec = spec_of(sae, (4, 1.0), unit="raw")
    assert SteerRunner().prepare(experiment_start(spec=spec).job, spec, WHERE).prepend_bos is begins
    asked = TryTextSpec(sae=sae.pk, text="The wind")
    assert TryTextRunner().prepare(text_try(spec=asked).job, asked, WHERE).prepend_bos is begins
