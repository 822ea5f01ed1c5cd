"""The process tree as a user starts and ends it."""

import fcntl
import signal
import socket
import sqlite3
import time
import urllib.request

import psutil
import pytest

from tests.pipeline.scratch import PATIENCE_S, ScratchStudio, entry_url_in


@pytest.fixture
def studio(tmp_path):
    studio = ScratchStudio(tmp_path)
    yield studio
    studio.kill_all()


def test_the_studio_prints_a_one_time_address_that_signs_in_once(studio):
    studio.start()
    address = entry_url_in(studio.output())
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    page = opener.open(address.replace("localhost", "127.0.0.1")).read().decode()
    assert 'aria-label="Main"' in page
    stranger = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    assert 'aria-label="Main"' not in stranger.open(f"{studio.url}/").read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_whole_tree_within_fifteen_seconds(studio, number):
    studio.start()
    time.sleep(1)
    assert len(studio.family()) >= 5
    studio.end(number)
    assert studio.process.returncode == 0


def test_a_second_studio_on_the_same_folder_is_refused_and_told_where_the_first_is(studio):
    studio.start()
    second = studio.manage("studio", "--port", "0", check=False)
    assert second.returncode != 0
    assert f":{studio.port}" in second.stderr


def test_a_taken_port_is_a_clear_sentence_and_nothing_starts(studio):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", studio.port))
        taken.listen()
        refused = studio.manage("studio", check=False)
    assert refused.returncode != 0
    assert f"Port {studio.port}" in refused.stderr
    assert "--port" in refused.stderr


def test_a_killed_web_process_is_back_on_the_same_port(studio):
    studio.start()
    web = next(p for p in studio.family() if "daphne" in " ".join(p.cmdline()))
    web.kill()
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            assert urllib.request.urlopen(f"{studio.url}/health/", timeout=2).status == 200
            break
        except OSError:
            time.sleep(0.2)
    else:
        raise AssertionError(studio.output())
    assert not psutil.pid_exists(web.pid) or web.status() == psutil.STATUS_ZOMBIE


def test_sigkill_of_the_studio_leaves_no_orphans(studio):
    studio.start()
    assert len(studio.family()) >= 5
    studio.process.kill()
    studio.process.wait()
    studio.wait_until_gone()


def test_sigkill_of_the_studio_leaves_not_even_processes_that_hear_no_signal(studio):
    """A stopped cluster passes no signal on to its workers; their watchdog needs none."""
    studio.start()
    cluster = next(p for p in studio.family() if p.ppid() == studio.process.pid and "workers" in p.cmdline())
    assert cluster.children()
    cluster.suspend()
    studio.process.kill()
    studio.process.wait()
    studio.wait_until_gone()


def test_a_database_of_a_newer_studio_is_refused_and_left_alone(studio):
    studio.manage("migrate", "--verbosity", "0")
    database = studio.data_dir / "db.sqlite3"
    with sqlite3.connect(database) as connection:
        connection.execute(
            "insert into django_migrations (app, name, applied) values ('jobs', '9999_from_the_future', '2030-01-01')"
        )
    refused = studio.manage("studio", check=False)
    assert refused.returncode != 0
    assert "newer studio" in refused.stderr
    assert not list(studio.data_dir.glob("db-*.sqlite3"))


def test_sqlite_is_copied_before_a_migration(studio):
    studio.manage("migrate", "steering", "zero", "--verbosity", "0")
    studio.manage("migrate", "jobs", "--verbosity", "0")
    studio.start()
    copies = list(studio.data_dir.glob("db-*.sqlite3"))
    assert len(copies) == 1
    with sqlite3.connect(copies[0]) as copy:
        tables = {name for (name,) in copy.execute("select name from sqlite_master")}
    assert "jobs_job" in tables
    assert "steering_experiment" not in tables


def test_the_lock_is_free_again_after_the_end(studio):
    studio.start()
    studio.end()
    with (studio.data_dir / "studio.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_other_addresses_than_loopback_need_a_password(studio):
    refused = studio.manage("studio", "--host", "0.0.0.0", check=False)
    assert refused.returncode != 0
    assert "password" in refused.stderr
