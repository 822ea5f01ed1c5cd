"""Who may enter: sign-in on every page, entry links, passwords, lock-out, host names and headers."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.models import EntryLink
from apps.core.services import bind_check, entry_link_use, entry_url_make, is_loopback, owner_ensure, password_set

OPEN = {"core:sign-in", "core:sign-out", "core:enter", "core:health"}
PASSWORD = "correct horse battery"


def all_routes(patterns=None, before="", namespace=""):
    """(path with 1 for every parameter, name) of every URL of the studio."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            filled = re.sub(r"<(?:\w+:)?\w+>", "1", route)
            yield filled, f"{namespace}{pattern.name}"
        else:
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from all_routes(pattern.url_patterns, route, inner)


@pytest.mark.django_db
def test_every_page_and_endpoint_asks_for_a_sign_in(client):
    routes = [(path, name) for path, name in all_routes() if not path.startswith("admin/") and "^" not in path]
    assert len(routes) > 20
    open_names = set()
    for path, name in routes:
        answer = client.get(f"/{path}")
        if path.startswith("api/"):
            assert answer.status_code == 401, path
            assert answer.json()["error"]["code"] == "not_signed_in"
        elif answer.status_code == 302 and answer.headers["Location"].startswith("/sign-in/"):
            continue
        else:
            open_names.add(name)
    assert open_names <= OPEN


@pytest.mark.django_db
def test_the_admin_asks_for_a_sign_in(client):
    assert client.get("/admin/").status_code == 302


@pytest.mark.django_db
def test_the_first_start_makes_one_owner_without_password():
    owner = owner_ensure()
    assert owner_ensure() == owner
    assert get_user_model().objects.count() == 1
    assert owner.is_superuser
    assert not owner.has_usable_password()


@pytest.mark.django_db
def test_an_entry_link_signs_in_once(client):
    path = urlsplit(entry_url_make(base_url="http://localhost:8765/")).path
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"] == reverse("home:home")
    assert client.session["_auth_user_id"] == str(owner_ensure().pk)
    client.logout()
    again = client.get(path)
    assert again.status_code == 403
    assert "_auth_user_id" not in client.session
    assert "manage.py entry_url" in again.content.decode()


@pytest.mark.django_db
def test_an_entry_link_opens_nothing_after_a_quarter_of_an_hour(monkeypatch):
    import time

    token = entry_url_make(base_url="").split("/")[-2]
    late = time.time() + timedelta(minutes=15, seconds=2).total_seconds()
    monkeypatch.setattr("django.core.signing.time.time", lambda: late)
    with pytest.raises(AppError) as refused:
        entry_link_use(token=token)
    assert refused.value.code == "entry_refused"
    assert not EntryLink.objects.filter(used_at__isnull=False).exists()


@pytest.mark.django_db
def test_a_forged_entry_link_opens_nothing():
    token = entry_url_make(base_url="").split("/")[-2]
    nonce, stamp, _ = token.split(":")
    for forged in (token[:-1] + ("a" if token[-1] != "a" else "b"), f"{nonce}:{stamp}:x", nonce, "x"):
        with pytest.raises(AppError):
            entry_link_use(token=forged)
    assert entry_link_use(token=token) == owner_ensure()


@pytest.mark.django_db
def test_a_browser_that_prefetches_an_entry_link_does_not_use_it_up(client):
    path = urlsplit(entry_url_make(base_url="http://localhost")).path
    assert client.get(path, headers={"Sec-Purpose": "prefetch;prerender"}).status_code == 204
    assert client.head(path).status_code == 204
    assert client.get(path).status_code == 302


@pytest.mark.django_db
def test_old_entry_links_are_swept_when_a_new_one_is_made():
    entry_url_make(base_url="")
    EntryLink.objects.update(created_at=timezone.now() - timedelta(days=2))
    entry_url_make(base_url="")
    assert EntryLink.objects.count() == 1


def test_the_owner_signs_in_with_a_password_and_out_again(client, owner):
    answer = client.post("/sign-in/", {"username": "owner", "password": PASSWORD, "next": "/jobs/"})
    assert answer.headers["Location"] == "/jobs/"
    client.post("/sign-out/")
    assert client.get("/jobs/").status_code == 302


def test_a_sign_in_does_not_lead_to_another_site(client, owner):
    answer = client.post("/sign-in/", {"username": "owner", "password": PASSWORD, "next": "https://evil.example/"})
    assert answer.headers["Location"] == reverse("home:home")


def test_password_guessing_is_locked_out_even_for_the_right_password(client, owner, settings):
    for _ in range(settings.AXES_FAILURE_LIMIT):
        client.post("/sign-in/", {"username": "owner", "password": "guess"})
    answer = client.post("/sign-in/", {"username": "owner", "password": PASSWORD})
    assert answer.status_code == 429
    assert "15 minutes" in answer.content.decode()
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("weak", ["short", "password123", ""])
def test_a_weak_password_is_refused(owner, weak):
    with pytest.raises(AppError) as refused:
        password_set(user=owner, password=weak)
    assert refused.value.code == "password_weak"


@pytest.mark.django_db
def test_the_password_command_reads_a_pipe(monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("a long new phrase\n"))
    call_command("password_set", stdout=io.StringIO())
    assert owner_ensure().check_password("a long new phrase")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.9.1"])
def test_loopback_needs_neither_password_nor_names(host):
    assert is_loopback(host)


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "studio.example"])
def test_the_network_needs_a_password_and_named_hosts(host, settings):
    with pytest.raises(AppError) as refused:
        bind_check(host)
    assert refused.value.code == "password_needed"
    password_set(user=owner_ensure(), password=PASSWORD)
    for names in (["localhost", "127.0.0.1", "[::1]"], ["localhost", "*"]):
        settings.ALLOWED_HOSTS = names
        with pytest.raises(AppError) as refused:
            bind_check(host)
        assert refused.value.code == "hosts_needed"
    settings.ALLOWED_HOSTS = ["localhost", "studio.example"]
    bind_check(host)


@pytest.mark.django_db
def test_another_host_name_is_refused_as_rebinding_would_use_one(client):
    assert client.get("/health/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/health/", headers={"Host": "localhost:8765"}).status_code == 200


@pytest.mark.django_db
def test_health_needs_no_sign_in_and_asks_the_database(client):
    found = client.get("/health/").json()
    assert found["ok"] is True
    assert found["version"]


def test_pages_carry_a_content_security_policy_that_forbids_foreign_and_inline_scripts(client_in):
    policy = client_in.get("/settings/").headers["Content-Security-Policy"]
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";") if " " in part.strip())
    assert rules["script-src"] == "'self'"
    assert rules["default-src"] == "'self'"
    assert rules["object-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"


@pytest.mark.django_db
def test_a_fragment_of_an_expired_session_sends_the_whole_page_to_the_sign_in(client):
    answer = client.get(
        "/settings/",
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/saes/?q=a", "Host": "testserver"},
    )
    assert answer.headers["HX-Redirect"] == "/sign-in/?next=%2Fsaes%2F%3Fq%3Da"


@pytest.mark.django_db
def test_the_entry_url_command_prints_a_link_that_opens(client, capsys, data_dir):
    import json

    call_command("entry_url", "--json", "--base-url", "http://localhost:1")
    found = json.loads(capsys.readouterr().out)
    assert found["expires_in_s"] == 900
    assert client.get(urlsplit(found["url"]).path).status_code == 302


@pytest.mark.django_db
def test_a_refused_password_ends_the_command_with_words(monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(CommandError, match="too short"):
        call_command("password_set")
