"""One prepared data folder for all pipeline tests: model, text, contexts and activations are made once."""

import pytest

from tests.pipeline.scratch import ScratchStudio
from tests.pipeline.tiny_pipeline import TinyData, copy_of, tiny_data, training_arguments


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> tuple[ScratchStudio, TinyData]:
    """A data folder with activations. Tests that change it work on a copy."""
    studio = ScratchStudio(tmp_path_factory.mktemp("prepared"))
    return studio, tiny_data(studio, tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session", params=["topk", "standard"])
def trained(request, prepared, tmp_path_factory) -> tuple[ScratchStudio, TinyData, int]:
    """A copy with a trained, evaluated SAE of each architecture and its features: (studio, data, SAE's id)."""
    studio = copy_of(prepared[0].data_dir, tmp_path_factory.mktemp(request.param) / "data")
    studio.manage("train", *training_arguments(prepared[1], steps=120, architecture=request.param), "--wait")
    sae = studio.json("sae_list")[0]["id"]
    studio.manage("feature_run", "--sae", sae, "--tokenization", prepared[1].tokenization, "--wait")
    return studio, prepared[1], sae
