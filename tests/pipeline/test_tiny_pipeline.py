"""Text to steered model by commands, on a tiny model, without a studio: each command supervises its own job."""

import zipfile

import pytest

from tests.pipeline.scratch import ScratchStudio
from tests.pipeline.tiny_pipeline import tiny_data, training_arguments


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return ScratchStudio(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def data(studio, tmp_path_factory):
    return tiny_data(studio, tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module", params=["topk", "standard"])
def sae(request, studio, data):
    """An SAE of each architecture, trained and evaluated by one command."""
    studio.manage("train", *training_arguments(data, steps=120, architecture=request.param), "--wait")
    return studio.json("sae_list")[0]


def test_training_leaves_an_sae_with_its_numbers(sae, data):
    assert sae["d_sae"] == 256
    assert sae["hook_site"] == "2.resid_post"
    assert 0 < sae["evaluation"]["fvu"] < 1
    assert sae["evaluation"]["tokens"] > 100


def test_every_feature_has_statistics_and_some_have_examples(studio, data, sae):
    studio.manage("feature_run", "--sae", sae["id"], "--tokenization", data.tokenization, "--wait")
    features = studio.json("feature_list", "--sae", sae["id"], "--sort", "maximum")
    assert features[0]["maximum"] > 0
    assert features[0]["density"] > 0
    assert features[0]["top_tokens"]


def test_steering_changes_the_text_and_says_by_how_much(studio, data, sae):
    studio.manage("feature_run", "--sae", sae["id"], "--tokenization", data.tokenization, "--wait")
    index = studio.json("feature_list", "--sae", sae["id"], "--sort", "maximum")[0]["index"]
    studio.manage(
        "steer", "--sae", sae["id"], "--features", f"{index}:20", "--prompt", "The cat", "--temperature", 0, "--wait"
    )
    experiment = studio.json("experiment_list")[0]
    assert experiment["differs"]
    assert experiment["delta_norm"] > 0


def test_an_export_holds_the_three_files_of_saelens(studio, sae):
    studio.manage("export", "--sae", sae["id"], "--wait")
    archive = max((studio.data_dir / "exports").rglob("*.zip"))
    names = {name.rsplit("/", 1)[-1] for name in zipfile.ZipFile(archive).namelist()}
    assert {"cfg.json", "sae_weights.safetensors", "sparsity.safetensors"} <= names
