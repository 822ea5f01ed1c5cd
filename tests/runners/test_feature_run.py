"""The runner of feature runs: files become rows; words given by people stay."""

import pytest

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.features.models import Feature
from apps.features.services import feature_label_set, feature_notes_set, feature_run_start, feature_star_set
from apps.jobs.models import Job
from apps.jobs.services import job_retry
from apps.saes.models import Sae
from tests.apps.features.worlds import D_SAE, files_write, finished_run_make, result_make, run_make, sae_make
from workers.engine.specs.features import FeatureRunSpec
from workers.runners.feature_run import READING, FeatureRunRunner

pytestmark = pytest.mark.django_db


def test_each_latent_gets_a_row_with_the_numbers_of_the_files():
    sae = sae_make()
    run = finished_run_make(sae)
    rows = list(sae.features.all())
    assert [row.index for row in rows] == list(range(D_SAE))
    assert [row.maximum for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [round(row.density, 6) for row in rows] == [0, 0.001, 0.002, 0.003, 0.004, 0.005]
    assert {row.run_id for row in rows} == {run.pk}
    assert run.is_ready and run.alive == 5 and run.tokens == 10_000


def test_features_get_their_peak_words_gloss_and_peculiarity():
    sae = sae_make()
    finished_run_make(sae)
    names = {feature.index: feature.auto_name for feature in sae.features.all()}
    assert names == {0: "", 1: "rain (100 %)", 2: "sun (100 %)", 3: "<b> (100 %)", 4: "↵ (100 %)", 5: "wind (100 %)"}
    rain = sae.features.get(index=1)
    assert (rain.gloss, rain.interest, rain.get_peculiarity_display()) == ("Peaks on “rain” (100 %).", 5.0, "none")
    assert sae.features.get(index=0).get_peculiarity_display() == "dead"
    assert sae.features.get(index=1).promoted_tokens == "wind <b>"


def test_the_files_lie_in_the_features_folder_and_nothing_stays_in_tmp():
    sae = sae_make()
    run = finished_run_make(sae)
    names = {file.name for file in data_path("features", run.pk).iterdir()}
    files = {f"{name}.safetensors" for name in ("statistics", "tokens", "examples", "neighbours", "logits")}
    assert names == files | {"vocabulary.parquet", "names.arrow"}
    assert not list(data_path("tmp", f"job-{run.job.pk}").iterdir())


def test_a_run_over_several_saes_fills_each_of_them():
    first = sae_make()
    second = sae_make(d_sae=9)
    Sae.objects.filter(pk=second.pk).update(language_model=first.language_model, tokenization=first.tokenization)
    spec = FeatureRunSpec(sae=first.pk, more_saes=(second.pk,), tokenization=first.tokenization_id)
    run = feature_run_start(spec=spec)
    draft = data_path("tmp", f"job-{run.job.pk}")
    described = [files_write(draft / f"sae-{n:02d}", d_sae=sae.d_sae) for n, sae in enumerate((first, second))]
    FeatureRunRunner().finish(run.job, spec, result_make(*described), str(draft))
    follower = run.followers.get()
    assert (follower.sae_id, follower.job, follower.is_ready) == (second.pk, run.job, True)
    assert (first.features.count(), second.features.count()) == (6, 9)
    assert data_path("features", follower.pk).exists()


def test_what_was_read_before_a_failure_serves_the_next_try_and_goes_with_a_cancelled_one():
    run, job, spec = run_make(sae_make())
    read = data_path("jobs", job.pk, READING)
    read.mkdir(parents=True)
    (read / "reading.json").write_text("{}")
    Job.objects.filter(pk=job.pk).update(state="failed")
    again = job_retry(job=run.job)
    FeatureRunRunner().prepare(again, spec, {"job_dir": "j", "out_dir": "o", "device": "cpu"})
    assert not read.exists() and (data_path("jobs", again.pk, READING) / "reading.json").exists()
    Job.objects.filter(pk=again.pk).update(wish="cancel")
    FeatureRunRunner().discard(again)
    assert not data_path("jobs", again.pk, READING).exists()


def test_labels_notes_and_stars_survive_a_second_run_that_changes_the_numbers():
    sae = sae_make()
    finished_run_make(sae)
    feature = sae.features.get(index=2)
    feature_label_set(feature=feature, label="sunshine", category="Weather")
    feature_notes_set(feature=feature, notes="bright")
    feature_star_set(feature=feature, is_starred=True)

    run, job, spec = run_make(sae)
    draft = data_path("tmp", f"job-{job.pk}")
    FeatureRunRunner().finish(job, spec, result_make(files_write(draft / "sae-00", scale=2.0)), str(draft))

    again = Feature.objects.get(pk=feature.pk)
    assert (again.label, again.category, again.notes, again.is_starred) == ("sunshine", "Weather", "bright", True)
    assert again.maximum == 4 and again.run == run
    assert sae.features.count() == D_SAE


def test_more_latents_than_one_chunk_are_all_written(monkeypatch):
    monkeypatch.setattr("apps.features.run_rows.CHUNK", 4)
    sae = sae_make(d_sae=11)
    finished_run_make(sae)
    assert list(sae.features.values_list("index", flat=True)) == list(range(11))


def test_a_result_of_the_wrong_width_is_refused_and_writes_nothing():
    sae = sae_make(d_sae=7)
    _, job, spec = run_make(sae)
    draft = data_path("tmp", f"job-{job.pk}")
    with pytest.raises(AppError, match="6 latents"):
        FeatureRunRunner().finish(job, spec, result_make(files_write(draft / "sae-00", d_sae=6)), str(draft))
    assert not sae.features.exists()


def test_prepare_names_the_folders_of_sae_tokenization_and_model():
    sae = sae_make()
    run, job, spec = run_make(sae)
    inputs = FeatureRunRunner().prepare(job, spec, {"job_dir": "j", "out_dir": "o", "device": "cpu"})
    assert [folder.endswith(f"saes/{sae.pk}") for folder in inputs.sae_dirs] == [True]
    assert inputs.tokenization_dir.endswith(f"tokenizations/{run.tokenization_id}")
    assert inputs.model_dir.endswith(f"models/{sae.language_model_id}")


def test_the_memory_estimate_grows_with_the_sae():
    small, large = sae_make(), sae_make(d_sae=60)
    estimates = [FeatureRunRunner().memory_bytes(run_make(sae)[2]) for sae in (small, large)]
    assert 0 < estimates[0] < estimates[1]
