"""Pages, endpoints and commands of activation caches."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from apps.activations.models import ActivationCache, CacheText
from apps.core.live.rendering import fragment
from tests.apps.activations.worlds import PAIRED_SITES, run_on
from tests.apps.prepared import job_about, make_cache, make_dataset, make_language_model, make_tokenization

pytestmark = pytest.mark.django_db


def test_an_empty_list_says_what_to_do_next(client_in):
    assert "No activations yet" in client_in.get(reverse("activations:list")).content.decode()
    assert "No tokenized text yet" in client_in.get(reverse("activations:new")).content.decode()


def test_the_list_asks_the_database_equally_often_for_many_caches(client_in, django_assert_max_num_queries):
    tokenization = make_tokenization()
    for _ in range(30):
        job_about(make_cache(tokenization, is_ready=False))
    with django_assert_max_num_queries(12):
        assert client_in.get(reverse("activations:list")).content.count(b"data-row") == 30


@pytest.mark.parametrize("state", ["queued", "running", "failed"])
def test_a_cache_on_its_way_shows_its_job(client_in, state):
    cache = make_cache(is_ready=False)
    job = job_about(cache, state=state)
    assert f'id="job-{job.pk}"' in client_in.get(cache.get_absolute_url()).content.decode()
    assert f'id="activation-{cache.pk}-card"' in fragment(cache.topic)


def test_a_ready_cache_shows_what_was_kept_and_left_out(client_in):
    cache = make_cache()
    page = client_in.get(cache.get_absolute_url()).content.decode()
    assert "Sink threshold" in page and "10.00" in page
    assert f"{reverse('training:new')}?activation_cache={cache.pk}" in page


def test_the_form_is_prefilled_by_its_address_and_knows_what_fits(client_in):
    tokenization = make_tokenization()
    page = client_in.get(reverse("activations:new"), {"language_model": tokenization.language_model_id})
    form = page.context["form"]
    assert (form["tokenization"].value(), form["layer"].value()) == (tokenization.pk, 1)
    values = {"tokenization": tokenization.pk, "layer": "0", "site": "mlp_out"}
    form = client_in.get(reverse("activations:new"), values).context["form"]
    assert (form["layer"].value(), form["site"].value()) == ("0", "mlp_out")


def test_the_estimate_follows_the_form(client_in):
    tokenization = make_tokenization(contexts=12)
    chosen = {"tokenization": tokenization.pk, "language_model": tokenization.language_model_id, "layer": 1}
    url = reverse("activations:estimate")
    # (12 contexts + 1 held out) × 7 positions × 32 × 2 bytes
    assert "5.69 KiB" in client_in.get(url, {**chosen, "site": "resid_post", "max_tokens": "5000"}).content.decode()
    for odd in ({"max_tokens": "x"}, {"layer": "-1"}, {"tokenization": "999"}, {"site": "<b>"}):
        answer = client_in.get(url, {**chosen, "site": "resid_post", **odd})
        assert "is shown here once" in answer.content.decode()
    refused = client_in.get(url, {**chosen, "site": "resid_post", "layer": "7"}).content.decode()
    assert "has no layer 7" in refused and 'data-tone="bad"' in refused


def test_the_estimate_counts_pairs_texts_and_what_is_left_of_the_budget(client_in, settings):
    tokenization = make_tokenization(language_model=make_language_model(sites=PAIRED_SITES))
    other = make_tokenization(language_model=tokenization.language_model, contexts=4)
    chosen = {"tokenization": tokenization.pk, "language_model": tokenization.language_model_id, "layer": 1}
    chosen |= {"site": "mlp_in", "is_paired": "on", "more_tokenizations": other.pk, "max_tokens": 5000}
    url = reverse("activations:estimate")
    # (12 + 4 contexts + 2 held out) × 7 positions × 2 × 32 × 2 bytes
    text = client_in.get(url, chosen).content.decode()
    assert "15.8 KiB" in text and "from 2 texts" in text and "with its pair" in text
    settings.ACTIVATIONS_MAX_BYTES = 10_000
    assert "may take 9.77 KiB (MISTUDIO_ACTIVATIONS_MAX_GB)" in client_in.get(url, chosen).content.decode()


def test_the_list_says_what_stands_on_each_cache_and_what_all_may_take(client_in, settings):
    used, _unused = make_cache(), make_cache()
    for name in ("first", "second", "third"):
        run_on(used, name)
    settings.ACTIVATIONS_MAX_BYTES = 2**30
    html = client_in.get(reverse("activations:list")).content.decode()
    assert "of the" in html and "1 GiB" in html
    assert "third" in html and "and 1 more" in html and "nothing" in html


def test_a_paired_cache_of_two_texts_shows_both_and_its_held_out_tokens(client_in):
    cache = make_cache()
    other = make_tokenization(make_dataset(name="poems"), cache.language_model)
    CacheText.objects.create(activation_cache=cache, tokenization=other)
    cache.is_paired = True
    cache.report |= {"d_out": 48, "held_out_tokens": 321}
    cache.save()
    html = client_in.get(cache.get_absolute_url()).content.decode()
    assert "poems" in html and "321" in html and "→ mlp_out" in html and "48" in html
    shown = client_in.get(f"/api/v1/activations/{cache.pk}").json()
    assert (shown["is_paired"], shown["d_out"], shown["held_out_tokens"]) == (True, 48, 321)
    assert [text["id"] for text in shown["more_tokenizations"]] == [other.pk]
    assert client_in.get("/api/v1/activations?q=poems").json()["total"] == 1


def test_a_post_makes_a_cache_and_a_refusal_stays_on_the_form(client_in):
    tokenization = make_tokenization()
    values = {
        "tokenization": tokenization.pk,
        "language_model": tokenization.language_model_id,
        "layer": 1,
        "site": "attn_z",
        "max_tokens": 5000,
    }
    refused = client_in.post(reverse("activations:new"), values)
    assert refused.status_code == 422 and "no hook site attn_z" in refused.context["form"].errors["site"][0]
    made = client_in.post(reverse("activations:new"), {**values, "site": "resid_post"})
    assert made.url == ActivationCache.objects.get().get_absolute_url()


def test_the_api_makes_lists_shows_and_deletes(client_in):
    tokenization = make_tokenization()
    body = {"tokenization": tokenization.pk, "language_model": tokenization.language_model_id, "layer": 1}
    answer = client_in.post("/api/v1/activations", body, content_type="application/json")
    made = ActivationCache.objects.get()
    assert (answer.status_code, answer.json()["url"]) == (202, made.get_absolute_url())
    ready = make_cache(tokenization)
    assert client_in.get("/api/v1/activations").json()["total"] == 2
    shown = client_in.get(f"/api/v1/activations/{ready.pk}").json()
    assert (shown["hook_site"], shown["report"]["sink_tokens"], shown["job"]) == ("1.resid_post", 4, None)
    assert client_in.delete(f"/api/v1/activations/{ready.pk}").json()["deleted"] == ready.pk
    assert client_in.delete(f"/api/v1/activations/{made.pk}").json()["error"]["code"] == "job_active"


def test_deleting_asks_first(client_in):
    cache = make_cache()
    url = reverse("activations:delete", args=[cache.pk])
    assert "can be made again" in client_in.get(url).content.decode()
    assert client_in.post(url).url == reverse("activations:list")


def test_commands_make_list_and_delete():
    def run(*arguments):
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    tokenization = make_tokenization()
    chosen = ["--tokenization", str(tokenization.pk), "--language-model", str(tokenization.language_model_id)]
    job = json.loads(run("activation_cache", *chosen, "--layer", "1", "--json"))
    assert job["kind"] == "activation_cache"
    ready = make_cache(tokenization)
    assert {row["hook_site"] for row in json.loads(run("activation_cache_list", "--json"))} == {"1.resid_post"}
    assert "1.resid_post" in run("activation_cache_list")
    assert json.loads(run("activation_cache_delete", str(ready.pk), "--json"))["deleted"] == ready.pk
