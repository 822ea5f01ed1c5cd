"""The data folder is closed to other users of the machine, whoever starts on it first."""

import os
import stat
import subprocess
import sys

import pytest

from mistudio_site.private import data_folder_prepare
from tests.pipeline.scratch import ROOT, ScratchStudio
from tests.pipeline.tiny_pipeline import text_file

OTHERS = stat.S_IRWXG | stat.S_IRWXO


@pytest.fixture(autouse=True)
def _umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_paths(folder):
    """Everything in and with a folder that others of the machine may use in some way."""
    return [path for path in [folder, *folder.rglob("*")] if path.lstat().st_mode & OTHERS]


def open_folder(path):
    """A data folder as a studio without this care left it."""
    (path / "keys").mkdir(parents=True)
    (path / "logs").mkdir()
    for name in ("db.sqlite3", "db.sqlite3-wal", "db-20260101-000000.sqlite3", "keys/django.key", "logs/web.log"):
        (path / name).touch()
    return path


def test_an_open_data_folder_is_closed_with_its_database_keys_and_logs(tmp_path):
    folder = open_folder(tmp_path / "data")
    assert len(open_paths(folder)) == 8
    data_folder_prepare(folder)
    assert open_paths(folder) == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_files_outside_that_a_link_points_to_keep_their_mode(tmp_path):
    outside = tmp_path / "outside"
    outside.touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(outside)
    data_folder_prepare(tmp_path / "data")
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


def test_a_folder_that_all_users_share_is_refused_and_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o1777)
    with pytest.raises(SystemExit, match="shared by all users"):
        data_folder_prepare(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


def test_a_started_studio_and_its_jobs_leave_nothing_that_others_may_read(tmp_path):
    source = text_file(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    studio = ScratchStudio(folder)
    (folder / "test-studio.log").touch(mode=0o600)
    try:
        studio.start()
        assert (folder / "db.sqlite3-wal").exists()
        studio.json("dataset_import", "--source", "file", "--path", source, "--wait")
        assert (folder / "datasets" / "1").is_dir()
        assert list((folder / "jobs").rglob("log.txt"))
        assert open_paths(folder) == []
        studio.end()
    finally:
        studio.kill_all()


@pytest.mark.parametrize(
    "command",
    [
        [str(ROOT / "manage.py"), "showmigrations"],
        ["-c", "import mistudio_site.asgi; from django.db import connection; connection.ensure_connection()"],
    ],
    ids=["manage.py", "asgi"],
)
def test_whatever_starts_first_makes_the_folder_private(tmp_path, command):
    studio = ScratchStudio(tmp_path / "data")
    subprocess.run([sys.executable, *command], env=studio.environment, check=True, capture_output=True, cwd=ROOT)
    assert (tmp_path / "data" / "db.sqlite3").exists()
    assert open_paths(tmp_path / "data") == []
