"""Settings, secrets and tokens: by page, by JSON and by command; secrets go in and never come out."""

import io
import logging

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from apps.core import connections
from apps.core.errors import AppError
from apps.core.models import ApiToken, Secret, Setting
from apps.core.outgoing import LARGEST_ANSWER
from apps.core.preferences import preferences, preferences_change
from apps.core.secrets import SECRETS, secret_environment, secret_get, secret_set, secret_states

TOKEN = "hf_abcdefghijklmnopWXYZ"


def run(*words):
    """What a command prints."""
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def secret_url(name="hf_token"):
    return reverse("core:secret", args=[name])


def test_a_secret_is_encrypted_at_rest(db):
    secret_set(name="hf_token", value=TOKEN)
    with connection.cursor() as cursor:
        cursor.execute("select value from core_secret")
        stored = cursor.fetchone()[0]
    assert TOKEN not in stored
    assert TOKEN[-4:] not in stored[-8:]
    assert secret_get("hf_token") == TOKEN


def test_a_stored_secret_is_never_rendered_anywhere(client_in, caplog):
    caplog.set_level(logging.DEBUG)
    page = client_in.post(secret_url(), {"value": TOKEN}, follow=True).content.decode()
    row = Secret.objects.get()
    pages = [
        page,
        client_in.get("/settings/").content.decode(),
        client_in.get("/api/v1/settings").content.decode(),
        client_in.get("/admin/core/secret/").content.decode(),
        client_in.get(f"/admin/core/secret/{row.pk}/change/").content.decode(),
        run("setting", "list"),
        run("setting", "list", "--json"),
        run("setting", "get", "hf_token"),
        caplog.text,
        repr(secret_states()),
    ]
    for text in pages:
        assert TOKEN not in text
        assert TOKEN[:-4] not in text
    assert "WXYZ" in page


def test_an_empty_submit_keeps_the_secret_and_the_button_removes_it(client_in):
    client_in.post(secret_url(), {"value": TOKEN})
    client_in.post(secret_url(), {"value": ""})
    assert secret_get("hf_token") == TOKEN
    client_in.post(secret_url(), {"value": "", "remove": "1"})
    assert secret_get("hf_token") is None


@pytest.mark.parametrize("bad", ["two words", "line\nbreak", "schlüssel"])
def test_what_cannot_be_a_token_is_refused(db, bad):
    with pytest.raises(AppError) as refused:
        secret_set(name="hf_token", value=bad)
    assert bad not in refused.value.message
    assert secret_get("hf_token") is None


def test_a_short_secret_shows_none_of_its_characters(client_in):
    secret_set(name="openai_key", value="sk-12345")
    assert "2345" not in client_in.get("/settings/").content.decode()


def test_children_get_the_secrets_that_are_set_by_environment(db):
    assert secret_environment() == {}
    secret_set(name="hf_token", value=TOKEN)
    secret_set(name="neuronpedia_key", value="np-key")
    assert secret_environment() == {"HF_TOKEN": TOKEN, "NEURONPEDIA_API_KEY": "np-key"}


def test_a_secret_under_lost_keys_is_left_out_and_can_be_entered_again(client_in, settings):
    from cryptography.fernet import Fernet

    secret_set(name="hf_token", value=TOKEN)
    settings.FERNET_KEYS = [Fernet.generate_key().decode()]
    assert secret_environment() == {}
    assert "cannot be decrypted" in client_in.get("/settings/").content.decode()
    client_in.post(secret_url(), {"value": TOKEN})
    assert secret_environment() == {"HF_TOKEN": TOKEN}


def test_a_rotated_key_still_reads_what_the_old_one_wrote(db, settings):
    from cryptography.fernet import Fernet

    secret_set(name="hf_token", value=TOKEN)
    settings.FERNET_KEYS = [Fernet.generate_key().decode(), *settings.FERNET_KEYS]
    assert secret_get("hf_token") == TOKEN


def test_only_what_differs_from_the_default_is_stored(client_in):
    fields = {"ollama_url": "http://localhost:11434", "endpoint_url": "https://llm.example/v1", "endpoint_model": ""}
    client_in.post(reverse("core:preferences"), fields)
    assert list(Setting.objects.values_list("name", "value")) == [("endpoint_url", "https://llm.example/v1")]
    assert preferences().endpoint_url == "https://llm.example/v1"
    client_in.post(reverse("core:preferences"), {**fields, "endpoint_url": ""})
    assert not Setting.objects.exists()


@pytest.mark.parametrize(
    "bad", ["ftp://a", "localhost:11434", "http://user:word@host", "http://host:99999", "http://a b"]
)
def test_page_json_and_command_refuse_the_same_address_with_the_same_words(client_in, bad):
    page = client_in.post(reverse("core:preferences"), {"ollama_url": bad, "endpoint_url": "", "endpoint_model": ""})
    assert page.status_code == 422
    words = " ".join(page.context["preferences_form"].errors["ollama_url"])
    answer = client_in.patch("/api/v1/settings", {"ollama_url": bad}, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "ollama_url"
    assert words in answer.json()["error"]["message"]
    with pytest.raises(CommandError) as refused:
        run("setting", "set", "ollama_url", bad)
    assert words in str(refused.value)
    assert preferences().ollama_url == "http://localhost:11434"


def test_the_setting_command_sets_gets_and_removes(db):
    run("setting", "set", "endpoint_model", "llama")
    assert run("setting", "get", "endpoint_model").strip() == "llama"
    run("setting", "remove", "endpoint_model")
    assert run("setting", "get", "endpoint_model").strip() == ""


def test_a_secret_is_no_argument_of_a_command_but_comes_by_pipe(db, monkeypatch):
    with pytest.raises(CommandError, match="no argument"):
        run("setting", "set", "hf_token", TOKEN)
    monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN + "\n"))
    run("setting", "set", "hf_token")
    assert secret_get("hf_token") == TOKEN


def test_ollama_is_asked_for_its_models(db, server):
    preferences_change({"ollama_url": server.url + "/"})
    server.answers["/api/tags"] = (200, {}, b'{"models": [{"name": "qwen:0.5b"}]}')
    assert connections.connection_test("ollama_url") == "Ollama answers with 1 model: qwen:0.5b."


def test_the_endpoint_is_asked_without_openais_key(db, server):
    secret_set(name="openai_key", value="sk-secret-of-openai")
    preferences_change({"endpoint_url": server.url + "/v1"})
    server.answers["/v1/models"] = (200, {}, b'{"data": [{"id": "a"}, {"id": "b"}]}')
    assert "2 models: a, b." in connections.connection_test("endpoint_url")
    assert "sk-secret-of-openai" not in str(server.asked)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((302, {"Location": "http://169.254.169.254/"}, b""), "302"),
        ((500, {}, b""), "500"),
        ((200, {}, b"<html>"), "did not send JSON"),
        ((200, {}, b'{"other": 1}'), "another form"),
        ((200, {}, b"[1]"), "another form"),
        ((200, {}, b"[" * 100_000), "did not send JSON"),
        ((200, {}, b" " * (LARGEST_ANSWER + 1)), "more than"),
    ],
)
def test_an_answer_that_is_not_meant_is_an_error_with_words(db, server, answer, words):
    preferences_change({"ollama_url": server.url})
    server.answers["/api/tags"] = answer
    with pytest.raises(AppError, match=words):
        connections.connection_test("ollama_url")
    assert len(server.asked) == 1


def test_hugging_face_is_asked_with_the_token_and_an_error_does_not_tell_it(db, server, monkeypatch):
    monkeypatch.setattr(connections, "json_ask", _rerouted(server.url, connections.json_ask))
    with pytest.raises(AppError) as refused:
        connections.connection_test("hf_token")
    assert refused.value.code == "secret_missing"
    secret_set(name="hf_token", value=TOKEN)
    server.answers["/api/whoami-v2"] = (200, {}, b'{"name": "ada"}')
    assert connections.connection_test("hf_token") == "Hugging Face knows the token as ada."
    assert server.asked[-1][1]["Authorization"] == f"Bearer {TOKEN}"
    server.answers["/api/whoami-v2"] = (401, {}, b"")
    with pytest.raises(AppError) as refused:
        connections.connection_test("hf_token")
    assert TOKEN not in refused.value.message + refused.value.hint


def test_neuronpedia_is_asked_for_what_only_the_keys_account_may_read(db, server, monkeypatch):
    monkeypatch.setattr(connections, "json_ask", _rerouted(server.url, connections.json_ask))
    with pytest.raises(AppError, match="No Neuronpedia key"):
        connections.connection_test("neuronpedia_key")
    secret_set(name="neuronpedia_key", value=TOKEN)
    server.answers["/api/list/list"] = (200, {}, b'[{"id": "x", "name": "Weather"}]')
    assert "accepts the key: it showed the 1 list of" in connections.connection_test("neuronpedia_key")
    headers = server.asked[-1][1]
    assert server.methods == ["POST"] and headers["X-Api-Key"] == TOKEN and "Authorization" not in headers
    server.answers["/api/list/list"] = (200, {}, b'{"error": "moved"}')
    with pytest.raises(AppError, match="another form"):
        connections.connection_test("neuronpedia_key")
    server.answers["/api/list/list"] = (401, {}, b'{"error": "This endpoint requires authorization."}')
    with pytest.raises(AppError, match="401") as refused:
        connections.connection_test("neuronpedia_key")
    assert refused.value.hint == "Check the key." and TOKEN not in refused.value.message


def _rerouted(base, original):
    from urllib.parse import urlsplit

    return lambda url, **asked: original(base + urlsplit(url).path, **asked)


def test_the_test_button_tells_what_happened_as_a_fragment_and_without_scripts(client_in, server):
    preferences_change({"ollama_url": server.url})
    server.answers["/api/tags"] = (200, {}, b'{"models": []}')
    url = reverse("core:connection", args=["ollama_url"])
    fragment = client_in.post(url, headers={"HX-Request": "true"}).content.decode()
    assert 'id="connection-ollama_url"' in fragment
    assert "<h1" not in fragment
    assert "no model yet" in client_in.post(url, follow=True).content.decode()


def test_a_token_is_shown_once_and_only_its_digest_is_stored(client_in):
    asked = {"name": "notebook", "days": "7", "read_only": "on"}
    page = client_in.post(reverse("core:token-create"), asked).content.decode()
    assert ApiToken.objects.get().is_read_only and ApiToken.objects.get().expires_at
    row = ApiToken.objects.get()
    token = page.split('<code class="mono">')[1].split("</code>")[0]
    assert ApiToken.digest_of(token) == row.digest
    assert token not in client_in.get("/settings/").content.decode()
    client_in.post(reverse("core:token-revoke", args=[row.pk]))
    assert not ApiToken.objects.exists()


def test_tokens_of_others_cannot_be_revoked(client_in, django_user_model):
    other = django_user_model.objects.create_user("other")
    row = ApiToken.objects.create(user=other, name="x", digest="d", last_four="abcd")
    assert client_in.post(reverse("core:token-revoke", args=[row.pk])).status_code == 404
    assert ApiToken.objects.exists()


def test_the_token_command_creates_lists_and_revokes(db):
    token = run("api_token", "create", "cron", "--days", "30", "--read-only").strip()
    row = ApiToken.objects.get(digest=ApiToken.digest_of(token))
    assert row.is_read_only and row.expires_at
    assert "cron" in (listed := run("api_token", "list"))
    assert "may only read" in listed and f"ends {row.expires_at:%Y-%m-%d}" in listed
    assert token not in run("api_token", "list")
    run("api_token", "revoke", str(row.pk))
    assert not ApiToken.objects.exists()


def test_the_password_is_set_on_the_page_and_the_browser_stays_signed_in(client_in, owner):
    url = reverse("core:password")
    wrong = client_in.post(url, {"old": "wrong", "password": "another long phrase"})
    assert wrong.status_code == 422
    assert "not the present password" in wrong.content.decode()
    client_in.post(url, {"old": "correct horse battery", "password": "another long phrase"})
    owner.refresh_from_db()
    assert owner.check_password("another long phrase")
    assert client_in.get("/settings/").status_code == 200


def test_who_is_no_staff_changes_neither_settings_nor_secrets(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("guest"))
    for url in (reverse("core:preferences"), secret_url(), reverse("core:connection", args=["ollama_url"])):
        assert client.post(url, {}).status_code == 403
    answer = client.patch("/api/v1/settings", {"endpoint_model": "x"}, content_type="application/json")
    assert answer.status_code == 403


def test_every_secret_names_its_variable():
    assert len({kind.environment for kind in SECRETS}) == len(SECRETS)
