"""Downloading from a Hub that runs on this machine, and what becomes of each way it can refuse."""

import json

import httpx
import huggingface_hub.constants
import pytest
from huggingface_hub.errors import HfHubHTTPError

from tests.engine.language_models.hub_server import COMMIT, REPO_ID, hub_serve
from tests.engine.tiny_models import LAYERS, tiny_model_folder
from workers.engine.hub import hub_errors
from workers.engine.language_models.importing import language_model_import
from workers.engine.progress import Progress, Stopped
from workers.engine.specs.errors import DiskFull, EngineError, Transient
from workers.engine.specs.language_models import LanguageModelImportInputs, LanguageModelImportSpec


@pytest.fixture
def source(tmp_path):
    """What lies in the repository: a model, and files that nobody wants."""
    folder = tiny_model_folder(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "README.md").write_text("a card")
    return folder


@pytest.fixture
def connect(monkeypatch):
    """Point huggingface_hub, which the tests keep offline, at a server."""

    def connect(address):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address)
        monkeypatch.setattr(huggingface_hub.HfApi.__init__, "__defaults__", (address, None, None, None, None, None))

    return connect


def run(tmp_path, repo_id=REPO_ID, progress=None, **options):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    inputs = LanguageModelImportInputs(job_dir=str(tmp_path / "job"), out_dir=str(out))
    spec = LanguageModelImportSpec(source="hub", repo_id=repo_id, **options)
    return language_model_import(spec, inputs, progress or Progress()), out


def error_of(tmp_path, repo_id=REPO_ID):
    with pytest.raises(EngineError) as caught:
        run(tmp_path, repo_id)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("wanted", [REPO_ID, f"https://huggingface.co/{REPO_ID}/tree/main"])
def test_a_model_is_downloaded_with_its_commit_and_licence(tmp_path, source, connect, wanted):
    with hub_serve(source) as (address, downloads):
        connect(address)
        result, out = run(tmp_path, wanted)
    assert (result.revision, result.licence, result.layers) == (COMMIT, "apache-2.0", LAYERS)
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert not {"pytorch_model.bin", "README.md"} & {*downloads, *(path.name for path in out.iterdir())}
    assert not any(path.is_dir() for path in out.iterdir())


def test_progress_counts_bytes(tmp_path, source, connect):
    progress = Progress()
    with hub_serve(source) as (address, _):
        connect(address)
        run(tmp_path, progress=progress)
    lines = [line for line in progress.lines if line.get("phase") == "Downloading"]
    wanted = sum(path.stat().st_size for path in source.iterdir() if path.suffix in (".json", ".safetensors"))
    assert lines[-1]["unit"] == "bytes" and lines[-1]["total"] == wanted
    assert lines[-1]["done"] == wanted


def test_a_cancelled_download_stops(tmp_path, source, connect):
    class Cancelling(Progress):
        def wish(self):
            return "cancel" if self._name == "Downloading" and self._done else None

    with hub_serve(source) as (address, _):
        connect(address)
        with pytest.raises(Stopped):
            run(tmp_path, progress=Cancelling())


def test_another_architecture_is_refused_before_its_weights_are_asked_for(tmp_path, source, connect):
    config = json.loads((source / "config.json").read_text()) | {"architectures": ["T5"], "model_type": "t5"}
    (source / "config.json").write_text(json.dumps(config))
    with hub_serve(source) as (address, downloads):
        connect(address)
        assert error_of(tmp_path).code == "not_decoder_only"
    assert "model.safetensors" not in downloads


def test_a_full_disk_is_noticed_before_weights_are_asked_for(tmp_path, source, connect, monkeypatch):
    monkeypatch.setattr("workers.engine.disk.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10_000}))
    with hub_serve(source) as (address, downloads):
        connect(address)
        assert isinstance(error_of(tmp_path), DiskFull)
    assert "model.safetensors" not in downloads


def test_a_repository_with_pickled_weights_only_is_refused(tmp_path, source, connect):
    (source / "model.safetensors").unlink()
    with hub_serve(source) as (address, _):
        connect(address)
        assert error_of(tmp_path).code == "pickle_only"


@pytest.mark.parametrize(
    ("status", "code", "ours", "transient"),
    [
        (404, "RepoNotFound", "unknown_repository", False),
        (401, "RepoNotFound", "unknown_repository", False),
        (404, "RevisionNotFound", "unknown_revision", False),
        (403, "GatedRepo", "gated", False),
        (401, "GatedRepo", "gated", False),
        (403, "", "gated", False),
    ],
)
def test_every_refusal_has_its_own_words(tmp_path, source, connect, status, code, ours, transient):
    with hub_serve(source, refuse={"some/other": (status, code)}) as (address, _):
        connect(address)
        error = error_of(tmp_path, "some/other")
    assert (error.code, error.transient) == (ours, transient)


@pytest.mark.parametrize(("status", "transient"), [(500, True), (503, True), (429, True), (408, True), (400, False)])
def test_only_a_busy_hub_is_asked_again(status, transient):
    response = httpx.Response(status, request=httpx.Request("GET", "http://hub"))
    with pytest.raises(EngineError) as caught, hub_errors("a/b", "language model"):
        raise HfHubHTTPError("refused", response=response)
    assert (caught.value.code, caught.value.transient) == ("hub_refused", transient)


def test_a_hub_that_cannot_be_reached_is_asked_again(tmp_path, connect):
    connect("http://127.0.0.1:9")
    assert isinstance(error_of(tmp_path), Transient)


def test_offline_mode_is_final(tmp_path):
    error = error_of(tmp_path)
    assert (error.code, error.transient) == ("offline", False)


def test_an_id_that_cannot_be_one_is_refused(tmp_path, connect):
    connect("http://127.0.0.1:9")
    assert error_of(tmp_path, "a/b/c d").code == "bad_repository"
    assert error_of(tmp_path, "a--b/c").code == "unknown_repository"
