"""Fixtures that many tests share. Imports stay light: a test of one function starts in about a second."""

from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

pytest_plugins = ["tests.hub.fixtures"]

# How fast examples are made tells of the machine, not of the code.
hypothesis_settings.register_profile("mistudio", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("mistudio")


LONGEST = ("test_on_postgresql.py", "pipeline", "browser")
"""Below this folder: what takes minutes in one process begins first, so that none is left to wait for at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first. Side by side, the tests of one file share a process, and so its fixtures."""
    here = Path(__file__).parent
    items.sort(key=lambda item: (*LONGEST, name := item.path.relative_to(here).parts[0]).index(name))


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix() -> None:
    """pytest-django's suffix for each process under xdist is left out: each has a data folder, and so an SQLite file, of
    its own, which the servers and commands that it starts must find under its usual name."""


@pytest.fixture
def data_dir() -> Path:
    """The tests' data folder."""
    return settings.DATA_DIR


@pytest.fixture
def owner(db):
    """The user `owner`, as the first start makes it, with a password."""
    from apps.core.services import owner_ensure

    user = owner_ensure()
    user.set_password("correct horse battery")
    user.save()
    return user


@pytest.fixture
def client_in(client, owner):
    """Django's test client, signed in as owner."""
    client.force_login(owner)
    return client


@pytest.fixture
def fresh_data_dir(settings, tmp_path) -> Path:
    """A data folder of the test's own: what other tests left below the same ids is out of sight."""
    settings.DATA_DIR = tmp_path
    (tmp_path / "tmp").mkdir()
    return tmp_path
