"""What depends on the database's ways of locking and telling also holds on PostgreSQL: claims, leases, reaping, live; and
what depends on its ways of looking up: terms of features, and the index behind their list."""

import pytest

from tests.pipeline.scratch import ScratchStudio
from tests.pipeline.tiny_pipeline import DOCUMENTS, text_file
from tests.postgres import postgres_url, run_tests_on_postgres

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    "path",
    [
        "tests/supervisor",
        "tests/apps/jobs/test_services.py",
        "tests/apps/core/test_troubles.py",
        "tests/apps/core/live/test_hub.py",
        "tests/apps/core/test_search.py",
        "tests/apps/core/live/test_access.py",
        "tests/apps/features/test_search.py",
        "tests/apps/features/test_list_indexes.py",
        "tests/apps/test_odd_requests.py",
    ],
)
def test_it_holds_on_postgresql(path):
    answer = run_tests_on_postgres(path)
    assert answer.returncode == 0, answer.stdout[-4000:]
    assert " passed" in answer.stdout


def test_the_studio_runs_a_job_on_postgresql_and_ends_cleanly(tmp_path):
    with postgres_url() as url:
        studio = ScratchStudio(tmp_path, database_url=url)
        try:
            studio.start()
            job = studio.json("dataset_import", "--source", "file", "--path", text_file(tmp_path), "--wait")
            assert job["state"] == "succeeded"
            assert studio.json("dataset_list")[0]["rows"] == DOCUMENTS
            assert not (tmp_path / "db.sqlite3").exists()
            studio.end()
        finally:
            studio.kill_all()
