"""What depends on the database's ways of locking and telling also holds on PostgreSQL: claims, leases, reaping, live."""

import pytest

from tests.postgres import run_tests_on_postgres

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    "path", ["tests/supervisor", "tests/apps/jobs/test_services.py", "tests/apps/core/live/test_hub.py"]
)
def test_it_holds_on_postgresql(path):
    answer = run_tests_on_postgres(path)
    assert answer.returncode == 0, answer.stdout[-4000:]
    assert " passed" in answer.stdout
