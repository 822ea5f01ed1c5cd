"""/api/v1/presets: every kind, every action."""

import pytest

from apps.presets.documents import preset_document
from apps.presets.models import Preset
from tests.apps.presets.worlds import PROMPT, WIDE, make_preset

pytestmark = pytest.mark.django_db

BASE = "/api/v1/presets"
OPTIONS = {
    "training": WIDE,
    "extraction": {"top_examples": 7},
    "labeling": PROMPT,
    "steering": {"prompt": "Once upon"},
}


def send(client, method, path, body=None):
    answer = getattr(client, method)(f"{BASE}/{path}", {} if body is None else body, content_type="application/json")
    return answer.status_code, answer.json()


def test_the_kinds_say_which_options_their_presets_may_decide(client_in):
    items = client_in.get(BASE).json()["items"]
    assert [item["kind"] for item in items] == list(OPTIONS)
    assert "k" in items[0]["options"] and "activation_cache" not in items[0]["options"]


@pytest.mark.parametrize("kind", OPTIONS)
def test_every_kind_is_made_listed_changed_and_deleted(client_in, kind):
    status, made = send(client_in, "post", kind, {"name": "mine", "spec": OPTIONS[kind], "description": "d"})
    assert (status, made["spec"], made["description"], made["is_shipped"]) == (201, OPTIONS[kind], "d", False)
    listed = client_in.get(f"{BASE}/{kind}?q=mine").json()
    assert [item["id"] for item in listed["items"]] == [made["id"]]
    one = f"{kind}/{made['id']}"
    status, changed = send(client_in, "patch", one, {"name": "yours", "is_favourite": True})
    assert (status, changed["name"], changed["is_favourite"], changed["spec"]) == (200, "yours", True, OPTIONS[kind])
    assert client_in.get(f"{BASE}/{kind}?favourite=1").json()["total"] == 1
    assert send(client_in, "delete", one) == (200, {"deleted": made["id"]})
    assert client_in.get(f"{BASE}/{one}").status_code == 404


def test_favourite_clone_use_and_diff(client_in):
    preset = make_preset()
    one = f"training/{preset.pk}"
    assert send(client_in, "post", f"{one}/favourite")[1]["is_favourite"]
    assert not send(client_in, "delete", f"{one}/favourite")[1]["is_favourite"]
    assert send(client_in, "post", f"{one}/clone")[1]["name"] == "wide 2"
    assert send(client_in, "post", f"{one}/clone", {"name": "third"})[1]["name"] == "third"
    assert send(client_in, "post", f"{one}/use")[1]["use_count"] == 1
    status, found = send(client_in, "post", f"{one}/diff", {"k": 64, "d_sae": 999, "activation_cache": 3})
    assert (status, found["differences"]) == (200, [{"name": "k", "label": "k", "preset": "32", "given": "64"}])


def test_what_is_exported_can_be_imported(client_in):
    preset = make_preset()
    exported = client_in.get(f"{BASE}/training/{preset.pk}/export").json()
    assert exported == preset_document(preset)
    status, answer = send(client_in, "post", "training/import", exported)
    assert (status, answer["items"][0]["name"], answer["items"][0]["spec"]) == (201, "wide 2", WIDE)
    every = client_in.get(f"{BASE}/training/export").json()
    assert len(every) == Preset.objects.filter(kind="training").count()
    status, answer = send(client_in, "post", "training/import?on_clash=refuse", exported)
    assert (status, answer["error"]["code"]) == (409, "name_taken")
    assert send(client_in, "post", "labeling/import", exported)[1]["error"]["code"] == "preset_kind"
    assert send(client_in, "post", "training/import?on_clash=moon", exported)[1]["error"]["field"] == "on_clash"


REFUSED = [
    ("post", "training", {"name": "mine", "spec": {"k": 0}}, 400, "spec_invalid"),
    ("post", "training", {"name": "mine", "spec": {"sweep_k": {}}}, 400, "spec_invalid"),
    ("post", "training", {"name": "", "spec": {}}, 400, "name_invalid"),
    ("post", "training", {"name": 3}, 400, "spec_invalid"),
    ("post", "training", {"unheard": 1}, 400, "spec_invalid"),
    ("post", "training", [], 400, "spec_invalid"),
    ("post", "moon", {"name": "mine", "spec": {}}, 404, "not_found"),
    ("post", "training/import", [], 400, "preset_file"),
    ("post", "training/import", {"format": "other"}, 400, "preset_file"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REFUSED)
def test_what_cannot_be_used_is_refused_in_words(client_in, method, path, body, status, code):
    answered, content = send(client_in, method, path, body)
    assert (answered, content["error"]["code"]) == (status, code)
    assert content["error"]["message"] and content["error"]["hint"]


def test_a_shipped_preset_is_neither_changed_nor_deleted_but_may_be_a_favourite(client_in):
    one = f"training/{Preset.objects.filter(is_shipped=True).first().pk}"
    assert send(client_in, "patch", one, {"name": "mine"})[1]["error"]["code"] == "preset_shipped"
    assert send(client_in, "delete", one)[0] == 409
    assert send(client_in, "patch", one, {"is_favourite": True})[1]["is_favourite"]


def test_a_preset_stands_under_its_own_kind_alone(client_in):
    assert client_in.get(f"{BASE}/labeling/{make_preset().pk}").status_code == 404
