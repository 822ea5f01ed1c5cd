"""Look-ups of models on a Hub of this machine: numbers without weights, and refusals in the words of an import."""

import json

import pytest

from tests.engine.tiny_models import D_MLP, D_MODEL, FAMILIES, LAYERS, MAX_CONTEXT, VOCAB_SIZE, tiny_model_folder
from workers.engine.language_models.hub_lookup import language_model_lookup
from workers.engine.language_models.importing import language_model_import
from workers.engine.language_models.model_files import WEIGHTS_SHA256
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError
from workers.engine.specs.language_models import (
    LanguageModelImportInputs,
    LanguageModelImportSpec,
    LanguageModelLookupInputs,
    LanguageModelLookupSpec,
)

REPO_ID = "tiny/model"
SAME_NUMBERS = (
    "revision",
    "licence",
    "bytes",
    "model_type",
    "architecture",
    "layers",
    "d_model",
    "d_mlp",
    "vocab_size",
    "max_context",
    "parameters",
    "linear_parameters",
    "kv_width",
    "dtype",
)


def run(tmp_path, repo_id=REPO_ID):
    out = tmp_path / "lookup"
    out.mkdir()
    inputs = LanguageModelLookupInputs(job_dir=str(out), out_dir=str(out))
    return language_model_lookup(LanguageModelLookupSpec(repo_id=repo_id), inputs, Progress())


def error_of(tmp_path, repo_id=REPO_ID):
    with pytest.raises(EngineError) as caught:
        run(tmp_path, repo_id)
    assert caught.value.hint
    return caught.value


def config_change(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_look_up_says_what_an_import_will_say_but_downloads_the_configuration_alone(hub, tmp_path, family):
    folder = tiny_model_folder(tmp_path, family)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nA card.")
    hub.add(REPO_ID, folder)
    found = run(tmp_path)
    assert hub.downloads() == ["config.json"]
    assert not list((tmp_path / "lookup").iterdir())
    (out := tmp_path / "out").mkdir()
    inputs = LanguageModelImportInputs(job_dir=str(tmp_path / "job"), out_dir=str(out))
    imported = language_model_import(LanguageModelImportSpec(repo_id=REPO_ID), inputs, Progress())
    added = sum((out / name).stat().st_size for name in ("vocabulary.parquet", WEIGHTS_SHA256))
    numbers = {name: getattr(imported, name) for name in SAME_NUMBERS} | {"bytes": imported.bytes - added}
    assert {name: getattr(found, name) for name in SAME_NUMBERS} == numbers
    assert (found.layers, found.d_model, found.d_mlp) == (LAYERS, D_MODEL, D_MLP)
    assert (found.vocab_size, found.max_context, found.licence) == (VOCAB_SIZE, MAX_CONTEXT, "mit")
    assert (found.repo_id, found.gated) == (REPO_ID, False)


def test_a_gated_repository_needs_the_token_and_says_so(hub, tmp_path, monkeypatch):
    hub.add(REPO_ID, tiny_model_folder(tmp_path), token="secret")
    error = error_of(tmp_path)
    assert error.code == "gated" and "token" in error.hint
    monkeypatch.setenv("HF_TOKEN", "wrong")
    (tmp_path / "lookup").rmdir()
    assert error_of(tmp_path).code == "gated"
    monkeypatch.setenv("HF_TOKEN", "secret")
    (tmp_path / "lookup").rmdir()
    assert run(tmp_path).gated


def test_an_unknown_repository_is_refused(hub, tmp_path):
    assert error_of(tmp_path, "no/such").code == "unknown_repository"


def test_a_busy_hub_is_asked_again_later(hub, tmp_path):
    hub.add(REPO_ID, tiny_model_folder(tmp_path)).fail("", status=503)
    assert error_of(tmp_path).transient


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}, "not_decoder_only"),
        ({"model_type": "evil", "auto_map": {"AutoConfig": "configuration_evil.Evil"}}, "unsupported_architecture"),
        ({"vocab_size": -5}, "unsupported_architecture"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "already_quantized"),
    ],
)
def test_what_an_import_would_refuse_is_refused_before(hub, tmp_path, changes, code):
    folder = tiny_model_folder(tmp_path)
    config_change(folder, **changes)
    hub.add(REPO_ID, folder)
    assert error_of(tmp_path).code == code


def test_pickled_weights_are_refused_before(hub, tmp_path):
    folder = tiny_model_folder(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    hub.add(REPO_ID, folder)
    assert error_of(tmp_path).code == "pickle_only"
