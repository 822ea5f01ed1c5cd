"""Text to steered model by commands, on a tiny model, without a studio: each command supervises its own job. A studio's warm
child is tested here too, because it needs the same trained pipeline and tests of one file share a process."""

import time
import zipfile

import psutil
import pytest
import torch
from sae_lens import SAE

from tests.engine.tiny_models import PACKED_WIDTH
from tests.pipeline.scratch import ScratchStudio
from tests.pipeline.tiny_pipeline import copy_of


def test_training_leaves_an_sae_with_its_numbers(trained):
    studio, _, sae_id = trained
    sae = studio.json("sae_list")[0]
    assert (sae["id"], sae["d_sae"], sae["hook_site"]) == (sae_id, 256, "2.resid_post")
    assert 0 < sae["evaluation"]["fvu"] < 1
    assert sae["evaluation"]["tokens"] > 100


def test_every_feature_has_statistics_and_the_strongest_has_tokens(trained):
    studio, _, sae_id = trained
    features = studio.json("feature_list", "--sae", sae_id, "--sort", "maximum")
    assert features[0]["maximum"] > 0
    assert features[0]["density"] > 0
    assert features[0]["gloss"]


def test_steering_changes_the_text_and_says_by_how_much(trained):
    studio, _, sae_id = trained
    index = studio.json("feature_list", "--sae", sae_id, "--sort", "maximum")[0]["index"]
    studio.manage(
        "steer", "--sae", sae_id, "--features", f"{index}:20", "--prompt", "The cat", "--temperature", 0, "--wait"
    )
    experiment = studio.json("experiment_list")[0]
    assert experiment["differs"]
    assert experiment["delta_norm"] > 0


def test_saelens_encodes_alike_from_the_export(trained, tmp_path):
    studio, _, sae_id = trained
    studio.manage("export", "--sae", sae_id, "--wait")
    with zipfile.ZipFile(max((studio.data_dir / "exports").rglob("*.zip"))) as archive:
        archive.extractall(tmp_path)
    [cfg] = tmp_path.rglob("cfg.json")
    sae = SAE.load_from_disk(str(cfg.parent), device="cpu")
    assert (sae.cfg.d_in, sae.cfg.d_sae) == (PACKED_WIDTH, 256)
    assert torch.isfinite(sae.encode(torch.randn(4, PACKED_WIDTH))).all()


def test_the_language_of_one_feature_and_of_all_is_read(trained):
    studio, _, sae_id = trained
    strongest = studio.json("feature_list", "--sae", sae_id, "--sort", "maximum")[0]
    run, asked = strongest["run"], ("feature_language", "--run", strongest["run"], "--wait")
    assert "Peaks" in studio.manage(*asked, "--feature", strongest["index"]).stdout
    folder = studio.data_dir / "features" / str(run) / "language"
    assert len(list(folder.glob("parsed-*.arrow"))) == 1
    assert "features on" in studio.manage(*asked).stdout
    assert sorted(file.name for file in folder.iterdir()) == ["features.arrow", "parsed.arrow"]


# steering keeps one child, with its model loaded, between jobs; an idle one ends

IDLE_S = 15


@pytest.fixture
def studio(trained, tmp_path):
    studio = copy_of(trained[0].data_dir, tmp_path / "data")
    studio.environment["MISTUDIO_WARM_IDLE_S"] = str(IDLE_S)
    yield studio.start()
    studio.kill_all()


def warm_children(studio: ScratchStudio) -> list[psutil.Process]:
    return [process for process in studio.family() if serves(process)]


def serves(process: psutil.Process) -> bool:
    try:
        return "--serve" in process.cmdline()
    except psutil.NoSuchProcess:  # it ended meanwhile, or only its parent's look at it is missing
        return False


def steer(studio: ScratchStudio, sae: int, seed: int) -> None:
    studio.manage(
        "steer", "--sae", sae, "--features", "1:5", "--unit", "raw", "--prompt", "The cat", "--max-new-tokens", 5,
        "--seed", seed, "--wait",
    )  # fmt: skip


@pytest.mark.parametrize("trained", ["topk"], indirect=True)
def test_two_jobs_run_in_one_child_that_ends_when_it_is_idle(trained, studio):
    steer(studio, trained[2], seed=1)
    [child] = warm_children(studio)
    steer(studio, trained[2], seed=2)
    assert [c.pid for c in warm_children(studio)] == [child.pid]
    until = time.monotonic() + 3 * IDLE_S
    while warm_children(studio) and time.monotonic() < until:
        time.sleep(0.5)
    assert not warm_children(studio)
    steer(studio, trained[2], seed=3)
