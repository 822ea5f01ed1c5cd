"""The steering pages: list, form with its cart, result."""

import json
import re

import pytest
from django.urls import reverse

from apps.core.live.rendering import fragment, renderers_discover
from apps.core.storage import data_path
from apps.steering.models import Experiment
from tests.apps.features.worlds import finished_run_make, sae_make
from tests.apps.steering.worlds import finished_experiment_make, result_make

pytestmark = pytest.mark.django_db
NEW = "/steering/new/"


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def cart(text):
    return re.findall(r'name="index" value="(\d+)".*?name="strength" step="any" value="([^"]*)"', text, re.DOTALL)


def test_without_an_sae_the_form_asks_for_one(client_in, sae):
    assert '<select id="sae"' in client_in.get(NEW).text


def test_without_any_sae_the_pages_lead_to_training(client_in):
    assert "/training/new/" in client_in.get(NEW).text
    assert "/training/new/" in client_in.get("/steering/").text


def test_a_link_fills_cart_prompt_and_options(client_in, sae):
    query = {"sae": sae.pk, "f": "4:2.5,2:-1", "p": "Once <upon>", "temperature": "0"}
    text = client_in.get(NEW, query).text
    assert cart(text) == [("4", "2.5"), ("2", "-1")]
    assert "Once &lt;upon&gt;" in text and re.search(r'name="temperature" value="0"', text)


def test_the_cart_is_sent_as_rows_and_an_empty_strength_leaves_one_out(client_in, sae):
    sent = {"sae": sae.pk, "index": ["4", "2"], "strength": ["3", ""], "prompt": "The weather"}
    answer = client_in.post(NEW, sent)
    experiment = Experiment.objects.get()
    assert answer.headers["Location"] == experiment.get_absolute_url()
    assert experiment.spec["features"] == [{"index": 4, "strength": 3.0}]


def test_a_refused_form_keeps_cart_and_prompt_and_names_the_field(client_in, sae):
    sent = {"sae": sae.pk, "index": ["0"], "strength": ["3"], "prompt": "The weather"}
    page = client_in.post(NEW, sent)
    assert page.status_code == 422 and "never fired" in page.text
    assert cart(page.text) == [("0", "3")] and "The weather" in page.text
    assert not Experiment.objects.exists()


def test_an_sae_without_a_feature_run_asks_for_raw_strengths(client_in):
    sae = sae_make()
    sent = {"sae": sae.pk, "index": ["4"], "strength": ["3"], "prompt": "The weather"}
    page = client_in.post(NEW, sent)
    assert page.status_code == 422 and "give raw strengths" in page.text
    assert client_in.post(NEW, {**sent, "unit": "raw"}).status_code == 302


def test_the_search_finds_features_by_number_and_by_word(client_in, sae):
    for query, found in {"4": [4], "rain": [1], "": [5, 4, 3, 2, 1]}.items():
        text = client_in.get("/steering/cart/", {"sae": sae.pk, "q": query}, headers={"HX-Request": "true"}).text
        assert [int(n) for n in re.findall(r'aria-label="Add feature (\d+)"', text)] == found
        assert "<html" not in text


def test_three_tenths_of_the_maximum_are_proposed_wherever_steering_begins(client_in, sae):
    links = re.findall(
        r'href="(/steering/new/[^"]*f=[^"]*)"', client_in.get(reverse("features:detail", args=[sae.pk, 4])).text
    )
    links += re.findall(r'href="(/steering/new/[^"]*f=[^"]*)"', client_in.get(NEW, {"sae": sae.pk, "q": "4"}).text)
    assert len(links) == 2
    for link in links:
        assert cart(client_in.get(link.replace("&amp;", "&")).text) == [("4", "0.3")]


def test_what_the_models_own_generation_config_holds_stands_beside_the_form(client_in, sae):
    assert "generation_config" not in client_in.get(NEW, {"sae": sae.pk}).text
    folder = data_path("models", sae.language_model_id)
    folder.mkdir(parents=True, exist_ok=True)
    own = {
        "num_beams": 4,
        "top_p": 1.0,
        "eos_token_id": [1, 2],
        "bad_words_ids": [[n] for n in range(50)],
        "min_p": 0.1,
    }
    (folder / "generation_config.json").write_text(json.dumps(own))
    text = client_in.get(NEW, {"sae": sae.pk}).text
    said = text[text.index("generation_config.json") :][:400]
    assert "num_beams 4" in said and "min_p 0.1" in said and "bad_words_ids 50 entries" in said
    assert "top_p" not in said and "eos_token_id" not in said
    shown = client_in.get(f"/api/v1/models/{sae.language_model_id}").json()["generation_config"]
    assert shown == {"num_beams": 4, "min_p": 0.1, "bad_words_ids": own["bad_words_ids"]}


def test_a_row_for_the_cart_comes_by_itself(client_in, sae):
    text = client_in.get("/steering/cart/row/", {"sae": sae.pk, "index": "4"}).text
    assert cart(text) == [("4", "0.3")]
    assert client_in.get("/steering/cart/row/", {"sae": sae.pk, "index": "6"}).status_code == 404
    assert client_in.get("/steering/cart/row/", {"sae": sae.pk, "index": "x"}).status_code == 400


def test_a_running_experiment_shows_its_job_and_the_socket_brings_the_texts(client_in, sae):
    client_in.post(NEW, {"sae": sae.pk, "index": ["4"], "strength": ["3"], "prompt": "The weather"})
    experiment = Experiment.objects.get()
    page = client_in.get(experiment.get_absolute_url()).text
    assert f'id="job-{experiment.job.pk}"' in page and f"topic=experiments%2F{experiment.pk}" in page
    renderers_discover()
    assert "Baseline" not in fragment(experiment.topic)
    assert "Baseline" in fragment(finished_experiment_make(sae).topic)
    assert fragment("experiments/99999") is None


def test_the_result_shows_both_texts_with_what_differs_marked(client_in, sae):
    experiment = finished_experiment_make(sae)
    text = client_in.get(experiment.get_absolute_url()).text
    assert " is<mark> cold</mark>" in text and " is<mark> wind</mark>" in text
    assert "‖Δ‖" in text and "Hook calls" in text and ">5 %<" in text


def test_generated_markup_is_shown_not_obeyed(client_in, sae):
    evil = result_make(steered_tokens=("<script>", "alert(1)"), steered="<script>alert(1)")
    experiment = finished_experiment_make(sae, prompt="<b>x", result=evil)
    text = client_in.get(experiment.get_absolute_url()).text
    assert "<script>alert" not in text and "<b>x" not in text and "&lt;script&gt;alert(1)" in text


def test_equal_texts_are_said(client_in, sae):
    experiment = finished_experiment_make(sae)
    Experiment.objects.update(differs=False)
    assert "Both texts are equal" in client_in.get(experiment.get_absolute_url()).text


def test_again_with_changes_leads_to_the_same_form(client_in, sae):
    experiment = finished_experiment_make(sae)
    page = client_in.get(experiment.get_absolute_url()).text
    link = re.search(r'href="(/steering/new/\?[^"]+)"', page)[1].replace("&amp;", "&")
    assert link == f"/steering/new/?again={experiment.pk}", "no prompt stands in an address"
    shown = client_in.get(link)
    assert [shown.context["form"][name].value() for name in ("unit", "prompt")] == ["raw", "The weather"]
    assert cart(shown.text) == [("4", "3")]
    assert client_in.get("/steering/new/?again=999").status_code == 404


def test_a_saved_experiment_bears_its_name_and_stands_first(client_in, sae):
    first, second = finished_experiment_make(sae), finished_experiment_make(sae)
    client_in.post(reverse("steering:save", args=[first.pk]), {"name": "Windy"})
    text = client_in.get("/steering/").text
    assert text.index("Windy") < text.index(f"experiment {second.pk}")


def test_a_name_is_needed_to_save(client_in, sae):
    experiment = finished_experiment_make(sae)
    assert client_in.post(reverse("steering:save", args=[experiment.pk]), {"name": " "}).status_code == 400


def test_the_download_is_the_whole_experiment(client_in, sae):
    experiment = finished_experiment_make(sae)
    answer = client_in.get(reverse("steering:download", args=[experiment.pk]))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="steering-{experiment.pk}.json"'
    assert answer.json()["steered"]["tokens"] == ["Ġis", "Ġwind"]


def test_deleting_asks_first_and_refuses_while_the_job_runs(client_in, sae):
    experiment = finished_experiment_make(sae)
    url = reverse("steering:delete", args=[experiment.pk])
    assert client_in.get(url).status_code == 200
    client_in.post(url)
    assert not Experiment.objects.exists()
    client_in.post(NEW, {"sae": sae.pk, "index": ["4"], "strength": ["3"], "prompt": "The weather"})
    running = Experiment.objects.get()
    assert client_in.post(reverse("steering:delete", args=[running.pk])).status_code == 409


def test_the_list_takes_few_queries_for_many_experiments(client_in, sae, django_assert_max_num_queries):
    for _ in range(12):
        finished_experiment_make(sae)
    with django_assert_max_num_queries(10):
        client_in.get("/steering/")


def test_the_admin_lists_opens_and_deletes_experiments(client_in, owner, sae):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    experiment = finished_experiment_make(sae)
    assert client_in.get("/admin/steering/experiment/").status_code == 200
    assert client_in.get(f"/admin/steering/experiment/{experiment.pk}/change/").status_code == 200
    values = {"action": "delete_rows", "_selected_action": [experiment.pk]}
    assert "deleted" in client_in.post("/admin/steering/experiment/", values, follow=True).text
    assert not Experiment.objects.exists()
