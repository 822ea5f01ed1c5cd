"""Who may enter: sign-in on every page, entry links, passwords, lock-out, host names and headers."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone

from apps.core.client_address import client_address
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


def guess(client, times, path="/sign-in/", name="owner", **extra):
    """Wrong passwords at the sign-in; the last answer's status."""
    return [client.post(path, {"username": name, "password": "guess"}, **extra).status_code for _ in range(times)][-1]


def test_a_sign_in_forgives_the_mistakes_before_it(client, owner, settings):
    for _ in range(3):
        assert guess(client, settings.AXES_FAILURE_LIMIT - 1) == 200
        assert client.post("/sign-in/", {"username": "owner", "password": PASSWORD}).status_code == 302
        client.logout()


def test_an_entry_link_ends_the_lock_out(client, owner, settings):
    assert guess(client, settings.AXES_FAILURE_LIMIT) == 429
    client.get(urlsplit(entry_url_make(base_url="")).path)
    client.logout()
    assert client.post("/sign-in/", {"username": "owner", "password": PASSWORD}).status_code == 302


def change(client, old):
    """The settings page's form for a new password."""
    return client.post("/settings/password/", {"old": old, "password": "another horse battery"})


def test_guesses_of_the_old_password_are_locked_out_with_those_of_the_sign_in(client_in, owner, settings):
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert change(client_in, "guess").status_code == 422
    assert change(client_in, "guess").status_code == 429
    assert change(client_in, PASSWORD).status_code == 429
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)
    assert guess(Client(), 1) == 429


def test_the_right_old_password_forgives_the_mistakes_before_it(client_in, owner, settings):
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        change(client_in, "guess")
    assert change(client_in, PASSWORD).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_no_guess_is_kept_in_the_record_of_failures(client_in):
    change(client_in, "nearly-my-password")
    guess(Client(), 1)
    for attempt in AccessAttempt.objects.all():
        assert "nearly-my-password" not in attempt.post_data + attempt.get_data
        assert "another horse battery" not in attempt.post_data
        assert "password=guess" not in attempt.post_data


def test_the_admin_has_no_second_form_for_the_password(client_in):
    assert client_in.get("/admin/password_change/").headers["Location"] == "/settings/"
    assert client_in.post("/admin/password_change/", {"old_password": "guess"}).headers["Location"] == "/settings/"


def test_guesses_at_the_admin_are_counted_too(client, owner, settings):
    assert guess(client, settings.AXES_FAILURE_LIMIT, path="/admin/login/") == 429
    assert guess(client, 1) == 429


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.9", "127.0.0.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (2, "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "203.0.113.9", "127.0.0.1"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "unknown", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, None, "127.0.0.1"),
    ],
)
def test_the_client_is_who_the_outermost_trusted_proxy_saw(rf, settings, proxies, forwarded, address):
    settings.PROXIES = proxies
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    assert client_address(rf.get("/", headers=headers)) == address


def test_behind_a_proxy_one_guesser_does_not_lock_out_others_and_cannot_pose_as_many(client, owner, settings):
    settings.PROXIES = 1
    for number in range(settings.AXES_FAILURE_LIMIT):
        last = guess(client, 1, headers={"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.9"})
    assert last == 429
    words = {"username": "owner", "password": PASSWORD}
    assert client.post("/sign-in/", words, headers={"X-Forwarded-For": "203.0.113.10"}).status_code == 302


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
