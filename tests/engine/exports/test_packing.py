"""The archive: what is in it, that equal SAEs give equal bytes, and what is refused."""

import hashlib
import json
import zipfile
from types import SimpleNamespace

import pytest
import torch

from tests.engine.saes.worlds import activations, random_sae
from workers.engine.exports.packing import export
from workers.engine.formats.saelens import sae_read, sae_write
from workers.engine.progress import Progress, Stopped
from workers.engine.saes.encoding import TENSORS
from workers.engine.specs.errors import BadArtifact, DiskFull
from workers.engine.specs.exports import ExportInputs, ExportSpec

SPEC = ExportSpec(sae=1)


def pack(tmp_path, name="sae.zip", progress=None):
    inputs = ExportInputs(job_dir=str(tmp_path), out_dir=str(tmp_path), sae_dir=str(tmp_path / "sae"), file_name=name)
    return export(SPEC, inputs, progress or Progress())


def test_the_archive_holds_the_folder_and_how_to_load_it(tmp_path):
    sae = random_sae("topk", sink_threshold=840.0)
    sae_write(sae, tmp_path / "sae", log10_density=torch.zeros(48))
    (tmp_path / "sae" / "provenance.json").write_text("{}")
    result = pack(tmp_path)
    content = (tmp_path / "sae.zip").read_bytes()
    assert (result.bytes, result.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    with zipfile.ZipFile(tmp_path / "sae.zip") as archive:
        assert tuple(archive.namelist()) == result.members
        assert archive.testzip() is None
        readme = archive.read("README.md").decode()
        archive.extractall(tmp_path / "unpacked")
    assert 'SAE.load_from_disk("path/to/this/folder")' in readme
    assert "840" in readme
    assert set(result.members) == {
        "README.md",
        "cfg.json",
        "encode.json",
        "provenance.json",
        "sae_weights.safetensors",
        "sparsity.safetensors",
    }
    x = activations()
    assert torch.equal(sae_read(tmp_path / "unpacked").encode(x), sae.encode(x))


@pytest.mark.parametrize("architecture", list(TENSORS))
def test_every_architecture_can_be_packed_and_read_again(architecture, tmp_path):
    sae = random_sae(architecture)
    sae_write(sae, tmp_path / "sae")
    pack(tmp_path)
    with zipfile.ZipFile(tmp_path / "sae.zip") as archive:
        readme = archive.read("README.md").decode()
        archive.extractall(tmp_path / "unpacked")
    assert torch.equal(sae_read(tmp_path / "unpacked").reconstruct(activations()), sae.reconstruct(activations()))
    is_transcoder = architecture.endswith("transcoder")
    assert ("it answers layer 3, mlp_out" in readme) == is_transcoder
    assert ("(tokens, 12)" in readme) == is_transcoder


def test_the_same_sae_gives_the_same_bytes(tmp_path):
    sae_write(random_sae(), tmp_path / "sae")
    first = pack(tmp_path, "a.zip")
    (tmp_path / "sae" / "cfg.json").touch()
    assert pack(tmp_path, "b.zip").sha256 == first.sha256


def test_a_cfg_that_contradicts_the_encode_spec_is_refused(tmp_path):
    sae_write(random_sae("topk"), tmp_path / "sae")
    cfg = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    (tmp_path / "sae" / "cfg.json").write_text(json.dumps(cfg | {"k": 6}))
    with pytest.raises(BadArtifact, match="k is 5"):
        pack(tmp_path)


def test_an_incomplete_sae_is_refused(tmp_path):
    sae_write(random_sae("topk"), tmp_path / "sae")
    (tmp_path / "sae" / "encode.json").unlink()
    with pytest.raises(BadArtifact, match=r"encode\.json"):
        pack(tmp_path)


def test_a_wish_to_stop_is_obeyed(tmp_path):
    class Impatient(Progress):
        def wish(self):
            return "cancel"

    sae_write(random_sae("topk"), tmp_path / "sae")
    with pytest.raises(Stopped):
        pack(tmp_path, progress=Impatient())


def test_a_disk_without_room_for_the_archive_is_said_before_anything_is_written(tmp_path, monkeypatch):
    sae_write(random_sae("topk"), tmp_path / "sae")
    size = sum(path.stat().st_size for path in (tmp_path / "sae").iterdir())
    monkeypatch.setattr("workers.engine.disk.shutil.disk_usage", lambda path: SimpleNamespace(free=size - 1))
    with pytest.raises(DiskFull, match="needs"):
        pack(tmp_path)
    assert not (tmp_path / "sae.zip").exists()
