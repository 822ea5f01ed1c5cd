"""Troubles that pass: told in words, lived through, and never taken for faults."""

import errno
import sqlite3
from contextlib import closing

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from apps.core import troubles
from apps.core.troubles import disk_trouble, ridden_out, tried, trouble_of
from apps.jobs.models import Job
from tests.supervisor.conftest import make_job

sqlite_only = pytest.mark.skipif(connection.vendor != "sqlite", reason="words of SQLite")
FULL = OperationalError("database or disk is full")


@pytest.fixture
def has_free(monkeypatch):
    """Set how many bytes are free on the data folder's disk."""
    return lambda count: monkeypatch.setattr(troubles, "disk_free_bytes", lambda: count)


class Failing:
    """Fails with each of the given errors, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(troubles, "RETRY_EVERY_S", 0.0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FULL, "disk_full"),
        (OperationalError("disk I/O error"), "disk_full"),
        (OperationalError("unable to open database file"), "disk_full"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (OperationalError("database is locked"), "database_locked"),
        (OperationalError("database table is locked: jobs_job"), "database_locked"),
        (OSError(errno.ENOENT, "No such file"), None),
        (DatabaseError("database disk image is malformed"), None),
        (ValueError("full"), None),
    ],
)
def test_what_passes_by_itself_is_told_from_what_does_not(error, code):
    found = trouble_of(error)
    assert (found and found.code) == code


@sqlite_only
def test_a_missing_table_does_not_pass():
    assert trouble_of(OperationalError("no such table: jobs_job")) is None


def test_a_lost_server_passes_on_postgresql(monkeypatch):
    monkeypatch.setattr(troubles.connection, "vendor", "postgresql", raising=False)
    assert trouble_of(OperationalError("server closed the connection unexpectedly")).code == "database_away"
    assert trouble_of(InterfaceError("connection already closed")).code == "database_away"


def test_a_full_disk_names_what_is_free_and_how_much_to_free(has_free):
    has_free(3 * 2**20)
    found = disk_trouble()
    assert "3 MB are free" in found.message
    assert "Free 61 MB or more" in found.hint
    has_free(troubles.DISK_FLOOR_BYTES)
    assert disk_trouble() is None


@pytest.mark.django_db(transaction=True)
def test_what_must_be_done_is_tried_until_the_trouble_has_passed():
    assert ridden_out(Failing(FULL, OperationalError("database is locked"), OSError(errno.ENOSPC, ""))) == "done"


@pytest.mark.django_db(transaction=True)
def test_a_fault_is_no_trouble():
    with pytest.raises(KeyError):
        ridden_out(Failing(KeyError("x")))
    with pytest.raises(FileNotFoundError):
        tried(Failing(FileNotFoundError(errno.ENOENT, "gone")))


@pytest.mark.django_db(transaction=True)
def test_who_gives_up_gets_the_trouble_itself():
    with pytest.raises(OperationalError):
        ridden_out(Failing(FULL), give_up=lambda: True)


@pytest.mark.django_db(transaction=True)
def test_what_comes_round_again_is_tried_once(caplog):
    troubles._said_at.clear()
    assert tried(Failing())
    assert not tried(Failing(FULL))
    assert not tried(Failing(FULL))
    assert sum("full" in record.message for record in caplog.records) == 1


@sqlite_only
@pytest.mark.django_db(transaction=True)
def test_another_programs_lock_is_waited_for():
    job = make_job()
    with connection.cursor() as cursor:
        cursor.execute("pragma busy_timeout = 1")
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
        other.execute("begin immediate")
        tries = []

        def write():
            tries.append(1)
            if len(tries) == 3:
                other.rollback()
            Job.objects.filter(pk=job.pk).update(message="written")

        ridden_out(write)
    connection.close()
    job.refresh_from_db()
    assert (job.message, len(tries)) == ("written", 3)


@pytest.mark.django_db
def test_pages_and_health_say_that_the_disk_is_full_and_go_on(client_in, has_free):
    assert "is full" not in client_in.get("/").text
    assert client_in.get("/health/").json()["trouble"] == ""
    has_free(0)
    for address in ("/", "/jobs/", "/system/"):
        page = client_in.get(address)
        assert page.status_code == 200
        assert "The disk of the data folder is full" in page.text and "goes on by itself" in page.text
    found = client_in.get("/health/").json()
    assert found["ok"] and "full" in found["trouble"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "status", "words"),
    [(FULL, 507, "is full"), (OperationalError("database is locked"), 503, "lock")],
)
def test_a_request_that_meets_a_trouble_is_answered_in_words(client_in, monkeypatch, error, status, words):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("apps.jobs.views.job_list", fail)
    answer = client_in.get("/jobs/")
    assert (answer.status_code, words in answer.text) == (status, True)
