"""A run that is stopped anywhere and resumed ends with bit-identical weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.engine.training.worlds import Wishing, inputs, sae_folder, same, spec, weights
from workers.engine.progress import Progress, Stopped
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.specs.errors import EngineError, SpecTooNew
from workers.engine.training.checkpoints import checkpoint_latest
from workers.engine.training.training import train

STOPS = [0, 1, 10, 13, 29]


@pytest.fixture(scope="module")
def undisturbed(cache_for, tmp_path_factory):
    """Architecture → where an undisturbed run ended, and its result; each is trained once."""
    known = {}

    def run(architecture):
        if architecture not in known:
            where = inputs(tmp_path_factory.mktemp(architecture), cache_for(architecture))
            known[architecture] = where, train(spec(architecture), where, Progress())
        return known[architecture]

    return run


@pytest.mark.parametrize("architecture", sorted(TRAINING_SAES))
@pytest.mark.parametrize("stop", STOPS)
def test_stopped_at_any_step_and_resumed_equals_undisturbed(architecture, stop, undisturbed, cache_for, tmp_path):
    whole, expected = undisturbed(architecture)
    parts = inputs(tmp_path, cache_for(architecture))
    with pytest.raises(Stopped) as stopped:
        train(spec(architecture), parts, Wishing("interrupt", stop))
    assert stopped.value.wish == "interrupt"
    assert checkpoint_latest(Path(parts.job_dir) / "checkpoints").step == stop
    resumed = train(spec(architecture), parts, Progress())
    assert same(weights(whole), weights(parts))
    ours, theirs = resumed.saes[0], expected.saes[0]
    assert (ours.weights_sha256, ours.encode) == (theirs.weights_sha256, theirs.encode)
    assert (ours.loss, ours.fvu, ours.l0) == (theirs.loss, theirs.fvu, theirs.l0)
    sparsity = [(sae_folder(where) / "sparsity.safetensors").read_bytes() for where in (whole, parts)]
    assert sparsity[0] == sparsity[1]


@pytest.mark.parametrize(
    "options",
    [
        {"weight_average_decay": 0.9},
        {"micro_batch_size": 24},
        {"sweep_k": (2, 6), "sweep_d_sae": (32, 48)},
        {"dead_latents": "resample", "resample_every": 8, "aux_coefficient": 0.0, "dead_after_tokens": 64},
    ],
)
def test_averages_pieces_sweeps_and_resamplings_survive_a_stop(options, cache, tmp_path):
    whole, parts = inputs(tmp_path, cache, "whole"), inputs(tmp_path, cache, "parts")
    trained = train(spec(**options), whole, Progress())
    for stop in (5, 9, 17):
        with pytest.raises(Stopped):
            train(spec(**options), parts, Wishing("interrupt", stop))
    train(spec(**options), parts, Progress())
    for member in range(len(trained.saes)):
        assert same(weights(whole, member), weights(parts, member))


RUNNER = """
import json, sys
from pathlib import Path
from workers.engine.progress import Progress
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.training.training import train

class Telling(Progress):
    def checkpoint(self, step, path, size_bytes, **values):
        print("checkpoint", step, flush=True)

spec, inputs = json.loads(Path(sys.argv[1]).read_text())
train(TrainSpec.from_json(spec), TrainInputs.from_json(inputs), Telling())
"""


def test_killed_with_sigkill_and_started_again_equals_undisturbed(cache, tmp_path):
    long = spec(steps=600, checkpoint_every=100)
    whole, parts = inputs(tmp_path, cache, "whole"), inputs(tmp_path, cache, "parts")
    stored = {name: value for name, value in long.to_json().items() if name != "schema"}
    (tmp_path / "job.json").write_text(json.dumps([stored, parts.to_json()]))
    command = [sys.executable, "-c", RUNNER, str(tmp_path / "job.json")]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | threads) as child:
        assert child.stdout.readline().startswith("checkpoint")
        assert child.stdout.readline().startswith("checkpoint")
        time.sleep(0.02)  # somewhere between two checkpoints, perhaps within the writing of one
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    kept = checkpoint_latest(Path(parts.job_dir) / "checkpoints")
    assert 200 <= kept.step < 600
    train(long, parts, Progress())
    train(long, whole, Progress())
    assert same(weights(whole), weights(parts))


@pytest.mark.parametrize("file", ["sae-00.safetensors", "source.safetensors", "state.json"])
def test_a_truncated_newest_checkpoint_costs_only_the_steps_since_the_one_before(file, undisturbed, cache, tmp_path):
    parts = inputs(tmp_path, cache)
    with pytest.raises(Stopped):
        train(spec(), parts, Wishing("pause", 25))
    newest = Path(parts.job_dir) / "checkpoints" / "step-00000025" / file
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    progress = Progress()
    train(spec(), parts, progress)
    assert any("step 20" in line.get("text", "") for line in progress.lines)
    assert same(weights(undisturbed("topk")[0]), weights(parts))


def test_checkpoints_of_other_settings_are_refused(cache, tmp_path):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped):
        train(spec(), where, Wishing("pause", 10))
    with pytest.raises(EngineError, match=r"other settings.*: learning_rate \([0-9.e-]+, now 0.5\)\.$"):
        train(spec(learning_rate=0.5), where, Progress())


def test_a_checkpoint_from_before_an_option_was_there_is_resumed_with_its_default(undisturbed, cache, tmp_path):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped):
        train(spec(), where, Wishing("pause", 10))
    state = Path(where.job_dir) / "checkpoints" / "step-00000010" / "state.json"
    kept = json.loads(state.read_text())
    del kept["spec"]["b_dec_start"], kept["spec"]["resample_every"], kept["effective"]["b_dec_starts_at_mean"]
    kept["spec"] |= {"schema": 1, "l1_warmup_steps": kept["spec"].pop("sparsity_warmup_steps")}
    state.write_text(json.dumps(kept))
    train(spec(), where, Progress())
    assert same(weights(undisturbed("topk")[0]), weights(where))


def test_a_checkpoint_of_a_newer_version_says_so(cache, tmp_path):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped):
        train(spec(), where, Wishing("pause", 10))
    state = Path(where.job_dir) / "checkpoints" / "step-00000010" / "state.json"
    kept = json.loads(state.read_text())
    kept["spec"]["schema"] = 99
    state.write_text(json.dumps(kept))
    with pytest.raises(SpecTooNew, match="schema 99"):
        train(spec(), where, Progress())
