"""Downloading from a Hub that runs on this machine, and what becomes of each way it can refuse."""

import errno
import json
import shutil

import httpx
import pytest
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.engine.tiny_models import LAYERS, tiny_model_folder
from workers.engine.hub import hub_errors
from workers.engine.language_models.importing import language_model_import
from workers.engine.progress import Progress, Stopped
from workers.engine.specs.errors import DiskFull, EngineError, Transient
from workers.engine.specs.language_models import LanguageModelImportInputs, LanguageModelImportSpec

REPO_ID = "tiny/llama"


@pytest.fixture
def source(tmp_path):
    """What lies in the repository: a model, and files that nobody wants."""
    folder = tiny_model_folder(tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling_evil.py").write_text("boom")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA card.")
    return folder


@pytest.fixture
def repository(hub, source):
    """The repository REPO_ID on the Hub of this test."""
    return hub.add(REPO_ID, source)


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


def retry(tmp_path):
    """Try again as the runner does: an empty out_dir, what the last try downloaded at hand."""
    shutil.rmtree(tmp_path / "out")
    return run(tmp_path)


def large_file(source, megabytes=1):
    """Make the weights large enough to be cut in the middle: an unused tensor beside the model's own."""
    path = source / "model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"unused": torch.rand(megabytes * 2**18)}, path, metadata={"format": "pt"})
    return path.stat().st_size


@pytest.mark.parametrize("wanted", [REPO_ID, f"https://huggingface.co/{REPO_ID}/tree/main"])
def test_a_model_is_downloaded_with_its_commit_and_licence(tmp_path, source, repository, hub, wanted):
    result, out = run(tmp_path, wanted)
    assert (result.revision, result.licence, result.layers) == (repository.commit, "apache-2.0", LAYERS)
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    unwanted = {"pytorch_model.bin", "README.md", "modeling_evil.py"}
    assert not unwanted & {*hub.downloads(), *(path.name for path in out.iterdir())}
    assert not any(path.is_dir() for path in out.iterdir())


def test_progress_counts_bytes(tmp_path, source, repository):
    progress = Progress()
    run(tmp_path, progress=progress)
    lines = [line for line in progress.lines if line.get("phase") == "Downloading"]
    wanted = sum(path.stat().st_size for path in source.iterdir() if path.suffix in (".json", ".safetensors"))
    assert lines[-1]["unit"] == "bytes" and lines[-1]["total"] == wanted
    assert lines[-1]["done"] == wanted


def test_a_cancelled_download_stops(tmp_path, source, repository):
    class Cancelling(Progress):
        def wish(self):
            return "cancel" if self._name == "Downloading" and self._done else None

    with pytest.raises(Stopped):
        run(tmp_path, progress=Cancelling())


def test_a_connection_that_is_cut_is_taken_up_in_the_middle(tmp_path, source, repository, hub):
    size = large_file(source)
    repository.cut("*.safetensors", after=400_000)
    _, out = run(tmp_path)
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert [request.range for request in hub.requests if request.range] == ["bytes=393216-"]
    assert hub.bytes_sent("model.safetensors") <= size + 2**14  # what was sent in part of a block is sent again


def test_a_failed_download_goes_on_where_it_ended(tmp_path, source, repository, hub):
    large_file(source)
    repository.cut("*.safetensors", after=400_000)

    class Failing(Progress):
        """Loses the network for good once a third has arrived."""

        def reach(self, done, message=""):
            super().reach(done, message)
            if self._name == "Downloading" and done > 350_000:
                raise ConnectionError("the network is gone")

    with pytest.raises(Transient):
        run(tmp_path, progress=Failing())
    assert not list((tmp_path / "out").iterdir())
    (part,) = (tmp_path / "job/download").rglob("*.part")
    kept, asked = part.stat().st_size, len(hub.requests)
    _, out = retry(tmp_path)
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    fetched = [r.range for r in hub.requests[asked:] if r.method == "GET" and r.path.endswith("model.safetensors")]
    assert kept > 300_000 and fetched == [f"bytes={kept}-"]
    assert hub.downloads().count("tokenizer.json") == hub.downloads().count("config.json") == 1


def begun(tmp_path, repository, name, content):
    """What an earlier try left of one file."""
    folder = tmp_path / "job/download" / repository.commit
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.part").write_bytes(content)


@pytest.mark.parametrize("beyond", [0, 1, 1000])
def test_a_part_as_long_as_the_file_or_longer_does_not_stand_in_the_way(tmp_path, source, repository, hub, beyond):
    size = large_file(source)
    content = (source / "model.safetensors").read_bytes()
    begun(tmp_path, repository, "model.safetensors", content + b"x" * beyond)
    _, out = run(tmp_path)
    assert (out / "model.safetensors").read_bytes() == content
    assert hub.bytes_sent("model.safetensors") == (size if beyond else 0)


@pytest.mark.parametrize("takes_ranges", [True, False])
def test_progress_after_a_resume_ends_at_the_whole(tmp_path, source, repository, takes_ranges):
    size = large_file(source)
    begun(tmp_path, repository, "model.safetensors", (source / "model.safetensors").read_bytes()[: size * 9 // 10])
    repository.takes_ranges = takes_ranges
    progress = Progress()
    _, out = run(tmp_path, progress=progress)
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    shares = [line["done"] / line["total"] for line in progress.lines if line.get("phase") == "Downloading"]
    assert max(shares) == shares[-1] == 1


def test_other_layouts_and_adapters_beside_a_model_stay_out_and_are_named(tmp_path, source, repository, hub):
    AutoModelForCausalLM.from_pretrained(source).save_pretrained(source, max_shard_size="20KB")
    (source / "model.safetensors").unlink()
    for name in ("consolidated.safetensors", "adapter_model.safetensors", "model.fp16.safetensors"):
        save_file({"weight": torch.zeros(100)}, source / name)
    (source / "adapter_config.json").write_text("{}")
    progress = Progress()
    result, out = run(tmp_path, progress=progress)
    shards = {path.name for path in source.glob("model-*.safetensors")}
    assert len(shards) > 1
    assert {path.name for path in out.glob("*.safetensors")} == shards
    assert not set(hub.downloads()) & {"consolidated.safetensors", "adapter_model.safetensors", "adapter_config.json"}
    (words,) = (line["text"] for line in progress.lines if "Left out" in line.get("text", ""))
    assert "consolidated.safetensors" in words and "adapter is not applied" in words
    assert result.layers == LAYERS


def test_an_adapter_alone_is_refused_as_one(tmp_path, source, repository):
    for name in ("model.safetensors", "config.json", "pytorch_model.bin"):
        (source / name).unlink()
    (source / "adapter_config.json").write_text("{}")
    save_file({"weight": torch.zeros(100)}, source / "adapter_model.safetensors")
    assert error_of(tmp_path).code == "adapter_only"


def test_another_commit_starts_anew(tmp_path, source, repository):
    repository.corrupt("model.safetensors", times=1)
    error_of(tmp_path)
    (source / "README.md").write_text("---\nlicense: mit\n---\nAnother card.")
    result, _ = retry(tmp_path)
    assert (result.revision, result.licence) == (repository.commit, "mit")


def test_a_disk_that_fills_up_meanwhile_is_said_in_words(tmp_path, repository, monkeypatch):
    def fill(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("workers.engine.hub_files.http_get", fill)
    assert isinstance(error_of(tmp_path), DiskFull)


def test_damaged_weights_are_removed_and_only_they_are_fetched_again(tmp_path, source, repository, hub):
    repository.corrupt("model.safetensors", times=1)
    error = error_of(tmp_path)
    assert error.code == "wrong_checksum" and "model.safetensors" in error.message
    assert not list((tmp_path / "job/download").rglob("*.safetensors*"))
    _, out = retry(tmp_path)
    assert (out / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert hub.downloads().count("model.safetensors") == 2
    assert hub.downloads().count("tokenizer.json") == hub.downloads().count("config.json") == 1


def test_a_server_error_is_tried_again_at_once_and_then_later(tmp_path, source, repository, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    repository.fail("tokenizer.json", status=503, times=2)
    assert run(tmp_path)[0].layers == LAYERS
    repository.fail("", status=500)
    shutil.rmtree(tmp_path / "out")
    error = error_of(tmp_path)
    assert (error.code, error.transient) == ("hub_refused", True)


def test_a_gated_model_arrives_with_the_token_and_is_refused_without(tmp_path, source, hub, monkeypatch):
    hub.add(REPO_ID, source, token="secret")
    error = error_of(tmp_path)
    assert (error.code, error.transient) == ("gated", False) and "token" in error.hint
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert error_of(tmp_path).code == "gated"
    assert "model.safetensors" not in hub.downloads()
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert run(tmp_path)[0].layers == LAYERS


def test_another_architecture_is_refused_before_its_weights_are_asked_for(tmp_path, source, repository, hub):
    config = json.loads((source / "config.json").read_text()) | {"architectures": ["T5"], "model_type": "t5"}
    (source / "config.json").write_text(json.dumps(config))
    assert error_of(tmp_path).code == "not_decoder_only"
    assert "model.safetensors" not in hub.downloads()


def test_a_full_disk_is_noticed_before_weights_are_asked_for(tmp_path, source, repository, hub, monkeypatch):
    monkeypatch.setattr("workers.engine.disk.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10_000}))
    assert isinstance(error_of(tmp_path), DiskFull)
    assert "model.safetensors" not in hub.downloads()


def test_a_repository_with_pickled_weights_only_is_refused(tmp_path, source, repository):
    (source / "model.safetensors").unlink()
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
def test_every_refusal_has_its_own_words(tmp_path, repository, status, code, ours, transient):
    repository.fail("", status=status, code=code)
    error = error_of(tmp_path)
    assert (error.code, error.transient) == (ours, transient)


@pytest.mark.parametrize(("status", "transient"), [(500, True), (503, True), (429, True), (408, True), (400, False)])
def test_only_a_busy_hub_is_asked_again(status, transient):
    response = httpx.Response(status, request=httpx.Request("GET", "http://hub"))
    with pytest.raises(EngineError) as caught, hub_errors("a/b", "language model"):
        raise HfHubHTTPError("refused", response=response)
    assert (caught.value.code, caught.value.transient) == ("hub_refused", transient)


def test_a_hub_that_cannot_be_reached_is_asked_again(tmp_path, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", "http://127.0.0.1:9")
    monkeypatch.setattr(HfApi.__init__, "__defaults__", ("http://127.0.0.1:9", None, None, None, None, None))
    assert isinstance(error_of(tmp_path), Transient)


def test_offline_mode_is_final(tmp_path):
    error = error_of(tmp_path)
    assert (error.code, error.transient) == ("offline", False)


def test_an_id_that_cannot_be_one_is_refused(tmp_path, hub):
    assert error_of(tmp_path, "a/b/c d").code == "bad_repository"
    assert error_of(tmp_path, "a--b/c").code == "unknown_repository"
