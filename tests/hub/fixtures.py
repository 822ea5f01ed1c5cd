"""The fixture `hub`: huggingface_hub and datasets talk to a server of this test process instead of huggingface.co.

Both read HF_ENDPOINT once, when they are imported. So this module, which tests/conftest.py loads before any test, starts
the server and sets HF_ENDPOINT; children that a test starts find it in their environment. Tests stay offline but for
those that take the fixture.
"""

import os

import pytest

from tests.hub.server import Hub

_HUB = Hub()
os.environ["HF_ENDPOINT"] = _HUB.address


@pytest.fixture
def hub(monkeypatch, tmp_path_factory):
    """An empty Hub, online, for this process and its children: `hub.add("owner/name", folder, kind="dataset")`.

    A token is given as everywhere: monkeypatch.setenv("HF_TOKEN", …).
    """
    import datasets
    import huggingface_hub
    from huggingface_hub import HfFileSystem, constants

    home = tmp_path_factory.mktemp("hf-home")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")
    # huggingface_hub keeps what it received in steps of 10 MB; the tests' files are smaller.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**14)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    huggingface_hub.close_session()
    HfFileSystem.clear_instance_cache()
    _HUB.reset()
    yield _HUB
    _HUB.reset()
    HfFileSystem.clear_instance_cache()
