"""The loopback Hub itself, asked by the real huggingface_hub."""

import hashlib

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nA card.")
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "model.safetensors").write_bytes(bytes(range(256)) * 4096)
    return folder


def test_sizes_checksums_and_card_are_told(hub, folder):
    repository = hub.add("a/model", folder)
    found = HfApi().model_info("a/model", files_metadata=True)
    large = {file.rfilename: file for file in found.siblings}["sub/model.safetensors"]
    assert (found.sha, found.card_data["license"], found.gated) == (repository.commit, "mit", False)
    assert large.lfs.sha256 == hashlib.sha256((folder / "sub/model.safetensors").read_bytes()).hexdigest()
    assert large.size == large.lfs.size == 2**20
    assert {entry.path for entry in HfApi().list_repo_tree("a/model", recursive=True)} >= {"sub", "config.json"}


def test_a_snapshot_arrives_whole_and_a_cut_file_is_resumed_by_range(hub, folder, tmp_path):
    hub.add("a/model", folder).cut("*.safetensors", after=100_000)
    snapshot_download("a/model", local_dir=tmp_path / "copy")
    copied = (tmp_path / "copy/sub/model.safetensors").read_bytes()
    assert copied == (folder / "sub/model.safetensors").read_bytes()
    assert any(request.range == "bytes=98304-" for request in hub.requests)
    assert hub.bytes_sent("sub/model.safetensors") < 2**20 + 100_000


def test_a_gated_file_needs_the_token_but_its_repository_is_described_to_all(hub, folder, tmp_path, monkeypatch):
    hub.add("a/gated", folder, token="secret")
    assert HfApi().model_info("a/gated").gated == "manual"
    with pytest.raises(GatedRepoError):
        hf_hub_download("a/gated", "config.json", local_dir=tmp_path / "copy")
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert hf_hub_download("a/gated", "config.json", local_dir=tmp_path / "copy")


def test_an_unknown_repository_is_refused(hub):
    with pytest.raises(RepositoryNotFoundError):
        HfApi().model_info("no/such")
    with pytest.raises(RepositoryNotFoundError):
        HfApi().dataset_info("no/such")
