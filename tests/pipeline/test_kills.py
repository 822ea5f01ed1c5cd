"""kill -9 of the training child, of the worker, and of the whole tree at random steps; SIGTERM and SIGINT as well: the
run finishes by itself after a restart, with weights that are bit-identical to an undisturbed run's. TopK reads a cache,
Standard reads text through the language model."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.pipeline.scratch import ScratchStudio
from tests.pipeline.tiny_pipeline import TinyData, copy_of, training_arguments

pytestmark = pytest.mark.slow
STEPS = 1500


@pytest.fixture(scope="module", params=["topk", "standard"])
def undisturbed(request, prepared, tmp_path_factory):
    """(architecture, SHA-256 of the weights of a run that nobody disturbed)."""
    studio = copy_of(prepared[0].data_dir, tmp_path_factory.mktemp("undisturbed") / "data")
    arguments = arguments_of(prepared[1], request.param)
    studio.manage("train", *arguments, "--wait")
    return request.param, studio.json("sae_list")[0]["weights_sha256"]


@pytest.fixture
def studio(prepared, tmp_path):
    studio = copy_of(prepared[0].data_dir, tmp_path / "data").start()
    yield studio
    studio.kill_all()


def arguments_of(data: TinyData, architecture: str) -> list[object]:
    """Arguments of `train`; the cache that is there too would fit the text run and must not serve it."""
    arguments = training_arguments(data, steps=STEPS, architecture=architecture)
    if architecture == "topk":
        return arguments
    return [
        *arguments, "--source", "text", "--language-model", data.language_model, "--tokenization", data.tokenization,
        "--hook-sites", "2.resid_post", "--no-use-cache", "--lm-dtype", "float32", "--buffer-tokens", 4096,
    ]  # fmt: skip


def begin(studio: ScratchStudio, prepared, architecture: str) -> int:
    """Start a training in the studio and wait until it is somewhere in the middle."""
    job = studio.json("train", *arguments_of(prepared[1], architecture))["id"]
    step = random.randint(60, STEPS // 3)
    until = time.monotonic() + 240
    while studio.progress(job) < ("running", step):
        assert time.monotonic() < until, studio.job(job)
        assert studio.progress(job)[0] in ("queued", "running")
        time.sleep(0.05)
    return job


def child_of(studio: ScratchStudio) -> psutil.Process:
    """The training child."""
    return next(p for p in studio.family() if "workers.child" in " ".join(p.cmdline()) and "--serve" not in p.cmdline())


def the_weights_are_the_same(studio: ScratchStudio, job: int, weights: str) -> None:
    ended = studio.wait_for_job(job, "succeeded", within_s=240)
    assert ended["attempt"] >= 2, "the kill came too late to disturb anything"
    assert studio.json("sae_list")[0]["weights_sha256"] == weights


def test_the_child_is_killed(studio, prepared, undisturbed):
    job = begin(studio, prepared, undisturbed[0])
    child_of(studio).kill()
    the_weights_are_the_same(studio, job, undisturbed[1])


def test_the_worker_is_killed(studio, prepared, undisturbed):
    job = begin(studio, prepared, undisturbed[0])
    child_of(studio).parent().kill()
    the_weights_are_the_same(studio, job, undisturbed[1])


def test_the_whole_tree_is_killed(studio, prepared, undisturbed):
    job = begin(studio, prepared, undisturbed[0])
    studio.kill_all()
    studio.start()
    the_weights_are_the_same(studio, job, undisturbed[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_studio_is_asked_to_end(studio, prepared, undisturbed, number):
    job = begin(studio, prepared, undisturbed[0])
    studio.end(number, within_s=15)
    assert studio.job(job)["state"] == "interrupted"
    studio.start()
    the_weights_are_the_same(studio, job, undisturbed[1])


@pytest.fixture
def busy_cores():
    """Twice as many programs as cores that compute all the time."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
    yield
    for program in programs:
        program.kill()
        program.wait()


def test_beside_programs_that_take_all_cores_the_studio_still_ends_in_time(studio, prepared, busy_cores):
    job = begin(studio, prepared, "topk")
    studio.end(signal.SIGTERM, within_s=15)
    assert studio.job(job)["state"] == "interrupted"
