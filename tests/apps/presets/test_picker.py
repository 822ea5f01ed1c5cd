"""The picker above a form: loads, says what differs, saves."""

import pytest
from django.urls import reverse

from apps.presets.models import Preset
from tests.apps.features.worlds import sae_make
from tests.apps.presets.worlds import PROMPT, WIDE, make_preset
from workers.engine.specs.training import TrainSpec

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
FORM = {"source": "cache", "activation_cache": "3", "architecture": "topk", "d_sae": "999", "k": "32"}


def test_the_picker_offers_the_presets_of_its_kind_with_that_of_the_address_chosen(client_in):
    preset, other = make_preset(), make_preset("ask", "labeling", PROMPT)
    current = {"HX-Current-URL": f"http://testserver/training/new/?preset={preset.pk}"}
    answer = client_in.get(reverse("presets:picker"), {"kind": "training"}, headers={**HTMX, **current})
    html = answer.content.decode()
    assert answer.context["chosen"] == preset
    assert f'value="{preset.pk}" selected' in html and f'value="{other.pk}"' not in html
    assert reverse("presets:diff", args=[preset.pk]) in html
    assert client_in.get(reverse("presets:picker"), {"kind": "moon"}).status_code == 404


def test_loading_keeps_what_the_preset_leaves_open_and_is_counted(client_in):
    preset = make_preset()
    sent = {**FORM, "name": "mine", "d_sae": "5", "more_tokenizations": ["4", "6"], "preset": preset.pk}
    answer = client_in.post(reverse("presets:use"), sent, headers=HTMX)
    address = answer["HX-Redirect"]
    assert address.startswith(f"{reverse('training:new')}?preset={preset.pk}&")
    assert "activation_cache=3" in address and "more_tokenizations=4%2C6" in address
    assert "d_sae" not in address and "mine" not in address
    plain = client_in.post(reverse("presets:use"), {"preset": preset.pk})
    assert plain.url == f"{reverse('training:new')}?preset={preset.pk}"
    preset.refresh_from_db()
    assert preset.use_count == 2


def test_loading_keeps_the_features_in_the_cart_of_steering(client_in):
    preset = make_preset("calm", "steering", {"prompt": "I feel", "temperature": 0.0})
    sent = {"preset": preset.pk, "sae": "2", "index": ["12", "7"], "strength": ["3", "-2"], "prompt": "Other"}
    address = client_in.post(reverse("presets:use"), sent).url
    assert "sae=2" in address and "features=12%3A3%2C7%3A-2" in address and "prompt" not in address


@pytest.mark.parametrize("preset", ["", "x", "999999"])
def test_nothing_to_load_is_said(client_in, preset):
    assert client_in.post(reverse("presets:use"), {"preset": preset}).status_code in (400, 404)


def test_a_labeling_prompt_has_no_form_to_be_loaded_into_yet(client_in):
    preset = make_preset("ask", "labeling", PROMPT)
    assert client_in.post(reverse("presets:use"), {"preset": preset.pk}).status_code == 400


def diff(client, preset, **values):
    return client.post(reverse("presets:diff", args=[preset.pk]), {**FORM, **values}, headers=HTMX).content.decode()


def test_what_differs_is_said_while_the_form_is_edited(client_in):
    preset = make_preset()
    assert "As the template “wide” says" in diff(client_in, preset)
    assert 'k <span class="mono">32 → 64</span>' in diff(client_in, preset, k="64")
    assert "learning" not in diff(client_in, preset, learning_rate="0.1")


def test_a_value_that_cannot_be_used_yet_does_not_hide_the_other_differences(client_in):
    text = diff(client_in, make_preset(), k="", d_sae="64")
    assert "999 → 64" in text and "32" not in text


def test_options_that_lost_their_meaning_are_not_listed_beside_their_reason(client_in):
    text = diff(client_in, make_preset(), architecture="standard", k="64")
    assert "topk → standard" in text and "32" not in text


def save(client, **values):
    sent = {**FORM, "kind": "training", "preset_name": "thin", "preset_description": "", **values}
    return client.post(reverse("presets:save"), sent, headers=HTMX)


def test_the_form_is_saved_with_all_that_matters_for_its_choices(client_in):
    answer = save(client_in, k="7", preset_description="small")
    made = Preset.objects.get(name="thin")
    assert (made.description, made.spec["k"], made.schema) == ("small", 7, TrainSpec.SCHEMA)
    assert "l1_coefficient" not in made.spec and "activation_cache" not in made.spec
    assert "Saved as “thin”" in answer.content.decode() and answer.context["chosen"] == made


def test_a_form_that_cannot_be_used_is_not_saved(client_in):
    text = save(client_in, k="2000").content.decode()
    assert "k = 2000 exceeds d_sae" in text and 'value="thin"' in text
    assert "A name has 1 to 120" in save(client_in, preset_name=" ").content.decode()
    assert not Preset.objects.filter(is_shipped=False).exists()


def test_replacing_is_asked_for_with_what_it_changes(client_in):
    preset = make_preset()
    asked = save(client_in, preset_name="wide", k="64").content.decode()
    assert "32 → 64" in asked and 'name="overwrite"' in asked
    preset.refresh_from_db()
    assert preset.spec == WIDE
    assert "was replaced" in save(client_in, preset_name="wide", k="64", overwrite="1").content.decode()
    preset.refresh_from_db()
    assert preset.spec["k"] == 64


def test_a_shipped_preset_is_not_replaced(client_in):
    shipped = Preset.objects.filter(is_shipped=True).first()
    answer = save(client_in, preset_name=shipped.name, overwrite="1")
    assert "already" in answer.content.decode()
    assert Preset.objects.get(pk=shipped.pk).spec == shipped.spec


def test_the_form_of_a_feature_run_starts_from_a_preset(client_in):
    preset = make_preset("many", "extraction", {"top_examples": 77})
    answer = client_in.get(reverse("features:new"), {"preset": preset.pk, "seed": "5"})
    form = answer.context["form"]
    assert (form["top_examples"].value(), form["seed"].value()) == (77, "5")


def test_steering_keeps_the_preset_while_the_sae_is_chosen(client_in):
    preset = make_preset("calm", "steering", {"prompt": "I feel"})
    sae = sae_make()
    chooser = client_in.get(reverse("steering:new"), {"preset": preset.pk}).content.decode()
    assert f'name="preset" value="{preset.pk}"' in chooser
    answer = client_in.get(reverse("steering:new"), {"preset": preset.pk, "sae": sae.pk})
    assert answer.context["form"]["prompt"].value() == "I feel"
    assert reverse("presets:picker") in answer.content.decode()
