"""Holding a model in another quantization: refused while others work with it, references stay."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from apps.core.errors import AppError
from apps.jobs.models import Job
from apps.language_models.services import language_model_import, language_model_quantize
from apps.training.services import training_start
from tests.apps.prepared import job_about, make_cache, make_language_model, make_tokenization
from tests.apps.training.worlds import cache_make, sae_make, text_spec_make
from workers.engine.specs.language_models import LanguageModelImportSpec, LanguageModelQuantizeSpec

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
JSON = "application/json"


def quantize(language_model, quantization="nf4"):
    spec = LanguageModelQuantizeSpec(language_model=language_model.pk, quantization=quantization)
    return language_model_quantize(spec=spec)


def test_a_ready_model_is_quantized_by_a_job_of_its_own():
    language_model = quantize(make_language_model())
    assert (language_model.job.kind, language_model.job.spec["quantization"]) == ("language_model_quantize", "nf4")
    assert language_model.is_ready


def test_a_model_whose_widths_do_not_pack_is_refused_before_a_job_begins(client_in):
    language_model = make_language_model()
    language_model.report |= {"nf4_misfit": "model.layers.0.mlp.up_proj (48 inputs, 128 outputs)"}
    language_model.save()
    with pytest.raises(AppError, match=r"mlp\.up_proj \(48 inputs, 128 outputs\) do not pack") as refused:
        quantize(language_model)
    assert (refused.value.field, refused.value.status) == ("quantization", 400)
    page = client_in.post(
        reverse("language_models:quantize", args=[language_model.pk]),
        {"language_model": language_model.pk, "quantization": "nf4"},
    )
    assert page.status_code == 422 and "do not pack" in page.content.decode()
    assert not language_model.jobs.filter(kind="language_model_quantize").exists()
    assert quantize(language_model, "int8").job.kind == "language_model_quantize"


def test_weights_are_checked_from_page_and_json_one_job_at_a_time(client_in):
    language_model = make_language_model()
    detail = reverse("language_models:detail", args=[language_model.pk])
    assert "Check weights" in client_in.get(detail).content.decode()
    check = reverse("language_models:check", args=[language_model.pk])
    assert client_in.post(check).url == detail
    assert language_model.job.kind == "language_model_check"
    assert client_in.post(f"/api/v1/models/{language_model.pk}/check", {}, content_type=JSON).status_code == 409
    other = make_language_model(name="other")
    assert client_in.post(f"/api/v1/models/{other.pk}/check", {}, content_type=JSON).status_code == 202
    other.report["weights_checked_at"] = "2026-01-02T03:04:05+00:00"
    other.save()
    assert "2026-01-02 03:04" in client_in.get(other.get_absolute_url()).content.decode()


def test_a_model_under_way_is_not_quantized():
    with pytest.raises(AppError, match="not imported yet"):
        quantize(make_language_model(is_ready=False))


@pytest.mark.parametrize("state", ["queued", "running", "paused"])
def test_an_activation_cache_under_way_keeps_the_model_as_it_is(state):
    cache = make_cache(is_ready=False)
    job_about(cache, state=state)
    with pytest.raises(AppError) as refused:
        quantize(cache.language_model)
    assert (refused.value.code, refused.value.status) == ("job_active", 409)


def test_an_evaluation_of_an_sae_of_the_model_counts_as_work_with_it():
    sae = sae_make()
    assert Job.objects.filter(kind="evaluate", state="queued").exists()
    with pytest.raises(AppError, match="still works with"):
        quantize(sae.language_model)
    Job.objects.filter(kind="evaluate").update(state="cancelled")
    assert quantize(sae.language_model).is_ready


def test_a_training_of_the_model_counts_as_work_with_it():
    run = training_start(spec=text_spec_make(cache_make()))
    with pytest.raises(AppError, match="still works with"):
        quantize(run.language_model)
    Job.objects.filter(kind="train").update(state="cancelled")
    assert quantize(run.language_model).is_ready


def test_work_with_another_model_and_with_the_tokenizer_alone_is_no_hindrance():
    job_about(make_cache(is_ready=False))
    tokenization = make_tokenization(is_ready=False)
    job_about(tokenization)
    assert quantize(tokenization.language_model).is_ready


def test_the_page_shows_the_fit_and_warns_of_what_refers_to_the_model(client_in):
    cache = make_cache()
    url = reverse("language_models:quantize", args=[cache.language_model_id])
    page = client_in.get(url).content.decode()
    assert "1 SAE" in page and cache.get_absolute_url() in page and "as published" in page
    answer = client_in.post(url, {"language_model": cache.language_model_id, "quantization": "int8"})
    assert answer.url == cache.language_model.get_absolute_url()
    assert 'id="job-' in client_in.get(answer.url).content.decode()
    refused = client_in.post(url, {"language_model": cache.language_model_id, "quantization": "int8"})
    assert refused.status_code == 422 and "still works with" in refused.content.decode()


def test_endpoints_quantize_a_ready_model_and_import_an_unready_one_again(client_in):
    ready, unready = make_language_model(), make_language_model(is_ready=False)
    body = {"quantization": "int8"}
    answer = client_in.post(f"/api/v1/models/{ready.pk}/quantize", body, content_type=JSON)
    assert answer.status_code == 202 and ready.job.kind == "language_model_quantize"
    assert client_in.post(f"/api/v1/models/{ready.pk}/quantize", body, content_type=JSON).status_code == 409
    other = make_language_model(name="other")
    assert client_in.post(f"/api/v1/models/{other.pk}/download", body, content_type=JSON).status_code == 202
    assert other.job.kind == "language_model_quantize"
    job_about(unready, state="failed")
    assert client_in.post(f"/api/v1/models/{unready.pk}/download", body, content_type=JSON).status_code == 202
    assert (unready.job.kind, unready.job.spec["quantization"]) == ("language_model_import", "int8")
    refused = client_in.post(f"/api/v1/models/{unready.pk}/download", {"quantization": "int3"}, content_type=JSON)
    assert refused.json()["error"]["field"] == "quantization"


def test_an_import_writes_the_wished_quantization(tmp_path):
    def wished(quantization: str) -> str:
        spec = LanguageModelImportSpec(source="folder", path=str(tmp_path), quantization=quantization)
        return language_model_import(spec=spec).quantization

    assert (wished("nf4"), wished("auto")) == ("nf4", "")


def test_the_commands_quantize_and_show():
    language_model = make_language_model(name="whale")

    def run(*arguments):
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    arguments = ("--language-model", str(language_model.pk), "--quantization", "nf4", "--json")
    assert json.loads(run("language_model_quantize", *arguments))["kind"] == "language_model_quantize"
    shown = json.loads(run("language_model_show", str(language_model.pk), "--json"))
    assert shown["name"] == "whale" and len(shown["fits"]) == 5
    assert "whale" in run("language_model_show", str(language_model.pk))


def test_the_admin_quantizes_imports_again_and_deletes_what_is_free(client_in):
    free, used = make_language_model(name="free"), make_tokenization().language_model

    def act(action: str, *rows) -> str:
        body = {"action": action, "_selected_action": [row.pk for row in rows]}
        return client_in.post(
            reverse("admin:language_models_languagemodel_changelist"), body, follow=True
        ).content.decode()

    assert "is being quantized" in act("quantize_to_int8", free)
    assert free.job.spec["quantization"] == "int8"
    assert "ready already" in act("import_again", used)
    free.jobs.update(state="cancelled")
    said = act("delete_rows", free, used)
    assert "Free deleted" in said and "still used by" in said
