"""Steering keeps one child, with its model loaded, between jobs; an idle one ends."""

import time

import psutil
import pytest

from tests.pipeline.scratch import ScratchStudio
from tests.pipeline.tiny_pipeline import copy_of

IDLE_S = 15


@pytest.fixture
def studio(trained, tmp_path):
    studio = copy_of(trained[0].data_dir, tmp_path / "data")
    studio.environment["MISTUDIO_WARM_IDLE_S"] = str(IDLE_S)
    yield studio.start()
    studio.kill_all()


def warm_children(studio: ScratchStudio) -> list[psutil.Process]:
    return [p for p in studio.family() if "--serve" in p.cmdline()]


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
