"""The runner of evaluations: folders before, numbers and densities after."""

import pytest

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.saes.models import Sae
from tests.apps.training.worlds import D_IN, D_SAE, sae_make
from workers.engine.specs.saes import EvaluateResult, EvaluateSpec
from workers.runners.evaluate import EvaluateRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def test_the_engine_gets_the_folders_of_sae_text_and_model():
    sae = sae_make()
    job = sae.evaluations.get().job
    inputs = EvaluateRunner().prepare(job, job.loaded_spec, {"job_dir": "job", "out_dir": "out", "device": "cpu"})
    assert inputs.sae_dir == str(data_path("saes", sae.pk))
    assert inputs.tokenization_dir == str(data_path("tokenizations", sae.tokenization_id))
    assert inputs.model_dir == str(data_path("models", sae.language_model_id))


def test_numbers_go_to_the_row_and_densities_below_the_sae():
    sae = sae_make()
    evaluation = sae.evaluations.get()
    job = evaluation.job
    draft = data_path("tmp", f"job-{job.pk}")
    draft.mkdir()
    (draft / "density.safetensors").write_bytes(b"123")
    numbers = {"fvu": 0.3, "fvu_with_sinks": 0.1, "l0": 4.0, "dead_share": 0.2, "ce_recovered": 0.9, "tokens": 100}
    ce = {
        "ce_tokens": 50,
        "ce_clean": 3.0,
        "ce_sae": 3.5,
        "ce_zero": 8.0,
        "sink_tokens": 1,
        "density_histogram": (1, 2),
    }
    EvaluateRunner().finish(job, job.loaded_spec, EvaluateResult(**numbers, **ce), str(draft))
    evaluation.refresh_from_db()
    assert {name: getattr(evaluation, name) for name in numbers} == numbers and evaluation.is_ready
    assert evaluation.report["ce_zero"] == 8.0 and sae.evaluation == evaluation
    assert data_path("saes", sae.pk, "evaluations", evaluation.pk, "density.safetensors").exists()
    assert not draft.exists()


def test_memory_counts_model_logits_and_latents():
    sae = sae_make()
    lm, spec = sae.language_model, EvaluateSpec(sae=sae.pk, tokenization=sae.tokenization_id, batch_contexts=2)
    positions = 2 * sae.tokenization.context_length
    expected = lm.parameters * 4 + 2 * positions * lm.vocab_size * 4 + (2 * D_IN + positions) * D_SAE * 4
    assert EvaluateRunner().memory_bytes(spec) == expected
    Sae.objects.all().delete()
    with pytest.raises(AppError, match="was deleted"):
        EvaluateRunner().memory_bytes(spec)
