"""Pages, endpoints and commands of language models."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from apps.core.live.rendering import fragment
from apps.language_models.models import LanguageModel
from tests.apps.prepared import job_about, make_cache, make_language_model, make_tokenization

pytestmark = pytest.mark.django_db
JSON = "application/json"


def test_an_empty_list_says_what_to_do_next(client_in):
    page = client_in.get(reverse("language_models:list")).content.decode()
    assert "No language models yet" in page and reverse("language_models:new") in page


def test_the_list_asks_the_database_equally_often_for_many_models(client_in, django_assert_max_num_queries):
    for number in range(30):
        job_about(make_language_model(is_ready=False, name=f"model {number}"))
    with django_assert_max_num_queries(12):
        assert client_in.get(reverse("language_models:list")).content.count(b"data-row") == 30


@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled"])
def test_a_model_on_its_way_shows_its_job(client_in, state):
    language_model = make_language_model(is_ready=False)
    job = job_about(language_model, state=state)
    assert f'id="job-{job.pk}"' in client_in.get(language_model.get_absolute_url()).content.decode()


def test_a_ready_model_shows_its_hook_sites_and_modules(client_in):
    cache = make_cache()
    page = client_in.get(cache.language_model.get_absolute_url()).content.decode()
    assert "?layer=1&amp;site=resid_post#site" in page and "1 cache<" in page
    assert "LlamaRMSNorm" in page and "25 %" in page and "mit" in page


def test_a_post_imports_a_folder(client_in, tmp_path):
    answer = client_in.post(reverse("language_models:new"), {"source": "folder", "path": str(tmp_path)})
    assert answer.url == LanguageModel.objects.get().get_absolute_url()
    assert client_in.get(reverse("language_models:new")).status_code == 200


def test_a_model_is_renamed_and_deleted(client_in):
    language_model = make_language_model()
    client_in.post(reverse("language_models:rename", args=[language_model.pk]), {"name": "small"})
    url = reverse("language_models:delete", args=[language_model.pk])
    assert "Delete small?" in client_in.get(url).content.decode()
    assert "freed" in client_in.post(url, follow=True).content.decode()
    assert not LanguageModel.objects.exists()


def test_the_live_fragment_is_the_card_of_the_page(client_in):
    language_model = make_language_model()
    assert f'id="language-model-{language_model.pk}-card"' in fragment(language_model.topic)
    assert fragment("language-models/999999") is None


def test_the_api_imports_lists_shows_renames_and_deletes(client_in, tmp_path):
    answer = client_in.post("/api/v1/models", {"source": "folder", "path": str(tmp_path)}, content_type=JSON)
    assert answer.status_code == 202 and answer.json()["job"]["state"] == "queued"
    language_model = make_language_model(name="whale")
    url = f"/api/v1/models/{language_model.pk}"
    assert [item["name"] for item in client_in.get("/api/v1/models?q=whale").json()["items"]] == ["whale"]
    assert client_in.get(url).json()["parameters"] == 1000
    assert client_in.get(f"{url}/architecture").json()["hook_sites"][0]["width"] == 32
    assert client_in.patch(url, {"name": "small"}, content_type=JSON).json()["name"] == "small"
    assert client_in.patch(url, {"layers": 5}, content_type=JSON).status_code == 400
    assert client_in.delete(url).json()["freed_bytes"] > 0


def test_the_api_refuses_what_is_used_or_not_ready(client_in):
    used = make_tokenization().language_model
    assert client_in.delete(f"/api/v1/models/{used.pk}").status_code == 409
    unready = make_language_model(is_ready=False)
    job_about(unready, state="failed")
    assert client_in.get(f"/api/v1/models/{unready.pk}/architecture").json()["error"]["code"] == "not_ready"
    assert client_in.post(f"/api/v1/models/{unready.pk}/download").status_code == 202


def test_commands_import_list_and_delete(tmp_path):
    def run(*arguments):
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    job = json.loads(run("language_model_import", "--source", "folder", "--path", str(tmp_path), "--json"))
    assert job["kind"] == "language_model_import"
    language_model = make_language_model(name="whale")
    assert json.loads(run("language_model_list", "--json", "--query", "whale"))[0]["layers"] == 2
    assert "whale" in run("language_model_list")
    assert json.loads(run("language_model_delete", str(language_model.pk), "--json"))["freed_bytes"] > 0
    with pytest.raises(CommandError, match="still used by"):
        run("language_model_delete", str(make_tokenization().language_model_id))
