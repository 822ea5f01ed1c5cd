"""Pages of presets."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from apps.presets.documents import preset_document
from apps.presets.models import Preset
from tests.apps.presets.worlds import PROMPT, WIDE, make_preset, make_training_job

pytestmark = pytest.mark.django_db


def page(client, name, *arguments, **query):
    return client.get(reverse(f"presets:{name}", args=arguments), query)


def mine():
    return Preset.objects.filter(is_shipped=False)


def test_the_navigation_leads_to_the_list_and_the_shipped_ones_stand_there(client_in):
    html = page(client_in, "list").content.decode()
    assert f'href="{reverse("presets:list")}" aria-current="page"' in html
    assert "TopK (Gao et al. 2024)" in html and "shipped" in html


def test_the_list_is_narrowed_by_kind_words_and_favourites_which_come_first(client_in):
    zebra, prompt = make_preset("zebra"), make_preset("ask", "labeling", PROMPT)
    client_in.post(reverse("presets:favourite", args=[zebra.pk]), {"is_favourite": "1"})
    shown = [preset.name for preset in page(client_in, "list", kind="training").context["page"]]
    assert shown[0] == "zebra" and "ask" not in shown
    assert [p.name for p in page(client_in, "list", q="zeb").context["page"]] == ["zebra"]
    assert [p.name for p in page(client_in, "list", favourite="1").context["page"]] == ["zebra"]
    assert [p.name for p in page(client_in, "list", kind="labeling").context["page"]] == [prompt.name]
    assert "No template matches" in page(client_in, "list", q="nothing like it").content.decode()


def test_an_empty_list_says_what_to_do_next(client_in):
    Preset.objects.all().delete()
    assert "No templates yet" in page(client_in, "list").content.decode()


def test_a_preset_is_made_on_its_page_and_refusals_stand_at_their_fields(client_in):
    url = reverse("presets:new", args=["labeling"])
    assert "New template: labeling prompt" in client_in.get(url).content.decode()
    refused = client_in.post(url, {"preset_name": "", "user_prompt": "no evidence"})
    assert refused.status_code == 422
    assert refused.context["words"].errors["preset_name"] == ["A value is needed."]
    assert "no evidence" in refused.context["form"].errors["user_prompt"][0]
    made = client_in.post(url, {"preset_name": "ask", "preset_description": "short", **PROMPT, "max_tokens": "80"})
    preset = mine().get()
    assert made.url == preset.get_absolute_url()
    assert (preset.name, preset.description, preset.spec["max_tokens"]) == ("ask", "short", 80)
    taken = client_in.post(url, {"preset_name": "ask", **PROMPT})
    assert "already" in taken.context["words"].errors["preset_name"][0]


def test_options_without_meaning_for_the_others_are_not_decided(client_in):
    sent = {"preset_name": "thin", "architecture": "standard", "d_sae": "64", "k": "7", "l1_coefficient": "2"}
    client_in.post(reverse("presets:new", args=["training"]), sent)
    spec = mine().get().spec
    assert spec["l1_coefficient"] == 2.0
    assert not {"k", "activation_cache", "device", "hook_sites", "target_l0"} & set(spec)


def test_the_data_of_another_form_fill_the_form_of_a_new_preset(client_in):
    answer = client_in.post(reverse("presets:new", args=["training"]), {"d_sae": "64", "k": "7"})
    assert answer.status_code == 200
    assert answer.context["form"]["k"].value() == "7"
    assert not mine().exists()


def test_a_preset_says_what_it_decides_where_it_comes_from_and_what_agrees_with_it(client_in):
    preset = make_preset()
    agreeing, other = make_training_job(**WIDE), make_training_job(d_sae=999, k=16)
    answer = page(client_in, "detail", preset.pk)
    html = answer.content.decode()
    assert [row["name"] for row in answer.context["options"]] == ["architecture", "d_sae", "k"]
    assert answer.context["jobs"] == [agreeing]
    assert "training run with these settings" in html and other.get_absolute_url() not in html
    shipped = page(client_in, "detail", Preset.objects.get(name__startswith="TopK").pk).content.decode()
    assert "arXiv:2406.04093" in shipped and "Delete" not in shipped


def test_a_preset_is_changed_in_what_it_decides(client_in):
    preset = make_preset()
    url = reverse("presets:change", args=[preset.pk])
    form = client_in.get(url).context["form"]
    assert [field.name for field in (*form.basic_fields, *form.advanced_fields)] == ["architecture", "d_sae", "k"]
    values = {"preset_name": "wider", "preset_description": "", "architecture": "topk", "d_sae": "2000", "k": "3000"}
    assert client_in.post(url, values).status_code == 422
    assert client_in.post(url, {**values, "k": "8"}).url == preset.get_absolute_url()
    preset.refresh_from_db()
    assert (preset.name, preset.spec) == ("wider", {"architecture": "topk", "d_sae": 2000, "k": 8})


def test_a_shipped_preset_can_be_cloned_but_neither_changed_nor_deleted(client_in):
    shipped = Preset.objects.filter(is_shipped=True).first()
    for name in ("change", "delete"):
        assert client_in.post(reverse(f"presets:{name}", args=[shipped.pk])).status_code == 409
    answer = client_in.post(reverse("presets:clone", args=[shipped.pk]))
    copy = mine().get()
    assert answer.url == reverse("presets:change", args=[copy.pk])
    assert (copy.name, copy.spec, copy.source) == (f"{shipped.name} 2", shipped.spec, shipped.source)


def test_deleting_asks_first(client_in):
    preset = make_preset()
    url = reverse("presets:delete", args=[preset.pk])
    assert "Delete wide?" in client_in.get(url).content.decode()
    assert client_in.post(url).url == reverse("presets:list")
    assert not mine().exists()


def test_the_star_is_put_on_and_taken_away(client_in):
    preset = make_preset()
    url = reverse("presets:favourite", args=[preset.pk])
    part = client_in.post(url, {"is_favourite": "1"}, headers={"HX-Request": "true"}).content.decode()
    assert f'id="preset-{preset.pk}-star"' in part and 'aria-pressed="true"' in part
    assert (
        client_in.post(url, {"is_favourite": "0"}, headers={"Referer": "http://elsewhere/"}).url
        == preset.get_absolute_url()
    )
    preset.refresh_from_db()
    assert not preset.is_favourite


def test_one_is_exported_as_an_object_and_several_as_a_list_that_can_be_imported(client_in):
    first, second = make_preset(), make_preset("ask", "labeling", PROMPT)
    one = page(client_in, "export", preset=first.pk)
    assert json.loads(one.content) == preset_document(first)
    assert "attachment" in one["Content-Disposition"]
    many = page(client_in, "export", preset=[first.pk, second.pk])
    assert {document["name"] for document in json.loads(many.content)} == {"wide", "ask"}
    answer = client_in.post(reverse("presets:import"), {"file": uploaded(many.content), "on_clash": "rename"})
    assert answer.url == reverse("presets:list")
    assert sorted(mine().values_list("name", flat=True)) == ["ask", "ask 2", "wide", "wide 2"]


def uploaded(content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("templates.json", content, content_type="application/json")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b"3", b"{}", b""])
def test_a_file_that_holds_no_presets_is_refused_on_the_form(client_in, content):
    answer = client_in.post(reverse("presets:import"), {"file": uploaded(content), "on_clash": "rename"})
    assert answer.status_code == 422
    assert answer.context["form"].errors["file"]


def test_a_clash_can_refuse_the_whole_file(client_in):
    document = preset_document(make_preset())
    content = json.dumps([{**document, "name": "new"}, document]).encode()
    answer = client_in.post(reverse("presets:import"), {"file": uploaded(content), "on_clash": "refuse"})
    assert answer.status_code == 422 and "“wide” already" in answer.context["form"].errors["file"][0]
    assert mine().count() == 1


def test_a_preset_is_made_from_what_a_job_was_asked_for(client_in):
    job = make_training_job(architecture="jumprelu", l0_coefficient=3.0)
    answer = page(client_in, "from-job", job.pk)
    assert answer.context["form"]["l0_coefficient"].value() == "3"
    assert f"job {job.pk}" in answer.context["words"]["preset_description"].value()
    assert f'action="{reverse("presets:new", args=["training"])}"' in answer.content.decode()
