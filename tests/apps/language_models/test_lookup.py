"""Looking a model up before its import: page, live card, endpoint, command, admin."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from apps.core.live.rendering import fragment
from apps.language_models import fit
from apps.language_models.models import LanguageModelLookup
from apps.language_models.services import language_model_lookup
from workers.engine.monitor.devices import Device
from workers.engine.specs.language_models import LanguageModelLookupSpec

pytestmark = pytest.mark.django_db
JSON = "application/json"
FOUND = {
    "repo_id": "owner/tiny",
    "revision": "abc123",
    "licence": "apache-2.0",
    "gated": False,
    "bytes": 5_000_000,
    "model_type": "llama",
    "architecture": "LlamaForCausalLM",
    "layers": 2,
    "d_model": 32,
    "d_mlp": 64,
    "vocab_size": 100,
    "max_context": 128,
    "parameters": 1000,
    "linear_parameters": 700,
    "kv_width": 64,
    "dtype": "float32",
}


def found_make(**changes) -> LanguageModelLookup:
    """A look-up that the Hub has answered."""
    lookup = language_model_lookup(spec=LanguageModelLookupSpec(repo_id="owner/tiny"))
    lookup.report, lookup.ready_at = {**FOUND, **changes}, timezone.now()
    lookup.save()
    return lookup


def page_of(client, lookup: LanguageModelLookup) -> str:
    return client.get(lookup.get_absolute_url()).content.decode()


def test_looking_up_queues_a_job_and_shows_it(client_in):
    answer = client_in.post(reverse("language_models:lookup"), {"repo_id": "https://huggingface.co/owner/tiny"})
    lookup = LanguageModelLookup.objects.get()
    assert lookup.repo_id == "owner/tiny" and lookup.job.kind == "language_model_lookup"
    assert answer.url == lookup.get_absolute_url()
    assert f'id="job-{lookup.job.pk}"' in page_of(client_in, lookup)


def test_a_bad_repository_is_refused_at_its_field(client_in):
    answer = client_in.post(reverse("language_models:lookup"), {"repo_id": "not a repository"})
    assert answer.status_code == 422 and not LanguageModelLookup.objects.exists()
    assert "field-error" in answer.content.decode()


def test_an_answer_shows_the_fit_table_and_prefills_the_import(client_in):
    page = page_of(client_in, found_make())
    assert "apache-2.0" in page and "will not fit" not in page and "4-bit" in page
    assert 'name="repo_id" value="owner/tiny"' in page and 'name="revision" value="abc123"' in page
    assert '<option value="auto" selected>' in page


def test_a_model_that_is_too_large_is_said_to_be_so_and_4_bit_is_preselected_where_only_that_fits(
    client_in, monkeypatch
):
    lookup = found_make(parameters=10**10, linear_parameters=10**10, d_model=1, d_mlp=1, kv_width=1, vocab_size=1)
    small = Device("cpu", total_bytes=10**10, free_bytes=9 * 10**9)
    monkeypatch.setattr(fit, "devices", lambda: (small,))
    page = page_of(client_in, lookup)
    assert "will not fit" in page and '<option value="nf4" selected>' in page


def test_a_model_that_fits_in_no_way_is_said_to(client_in, monkeypatch):
    monkeypatch.setattr(fit, "devices", lambda: (Device("cpu", total_bytes=10**4, free_bytes=10**3),))
    page = page_of(client_in, found_make())
    assert "No quantization fits" in page and '<option value="auto" selected>' in page


def test_a_gated_model_says_how_to_get_access(client_in):
    page = page_of(client_in, found_make(gated=True))
    assert "gated" in page and reverse("core:settings") in page and "https://huggingface.co/owner/tiny" in page


def test_a_look_up_that_the_hub_refused_says_how_to_get_access_too(client_in):
    lookup = language_model_lookup(spec=LanguageModelLookupSpec(repo_id="owner/closed"))
    lookup.jobs.update(state="failed", error_code="gated", error_message="No access.")
    page = page_of(client_in, lookup)
    assert "https://huggingface.co/owner/closed" in page and "No access." in page


def test_the_live_fragment_is_the_card_of_the_page(client_in):
    lookup = found_make()
    assert f'id="lookup-{lookup.pk}"' in fragment(lookup.topic) and "recommended" in fragment(lookup.topic)
    assert fragment("language-model-lookups/999999") is None


def test_a_look_up_that_is_gone_leaves_the_plain_page(client_in):
    page = client_in.get(f"{reverse('language_models:new')}?lookup=999999")
    assert page.status_code == 200


def test_old_look_ups_go_with_the_next_one():
    old = found_make()
    old.jobs.update(state="succeeded")
    LanguageModelLookup.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=2))
    new = found_make()
    assert list(LanguageModelLookup.objects.all()) == [new]


def test_the_endpoint_asks_and_answers(client_in):
    answer = client_in.post("/api/v1/models/lookups", {"repo_id": "owner/tiny"}, content_type=JSON)
    assert answer.status_code == 202
    waiting = client_in.get(answer.json()["url"]).json()
    assert waiting["ready"] is False and waiting["found"] == {} and waiting["job"]["state"] == "queued"
    found = client_in.get(f"/api/v1/models/lookups/{found_make().pk}").json()
    assert found["found"]["parameters"] == 1000 and len(found["fits"]) == 5
    assert client_in.get("/api/v1/models/lookups").json()["total"] == 2
    assert client_in.get("/api/v1/models/lookups/999999").status_code == 404


def test_the_command_queues_a_look_up():
    out = StringIO()
    call_command("language_model_lookup", "--repo-id", "owner/tiny", "--json", stdout=out)
    assert json.loads(out.getvalue())["kind"] == "language_model_lookup"


def test_the_admin_shows_look_ups_and_changes_none(client_in):
    lookup = found_make()
    base = "admin:language_models_languagemodellookup"
    assert b"owner/tiny" in client_in.get(reverse(f"{base}_changelist")).content
    assert client_in.post(reverse(f"{base}_change", args=[lookup.pk]), {"repo_id": "x/y"}).status_code == 403
