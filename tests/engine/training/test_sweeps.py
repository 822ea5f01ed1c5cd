"""Several SAEs in one training: each is the SAE that it would be alone, with charts, checkpoints and a folder of its own."""

import json
from pathlib import Path

import pytest

from tests.engine.training.worlds import Wishing, inputs, sae_folder, same, spec, weights
from workers.engine.formats.saelens import sae_read
from workers.engine.progress import Progress
from workers.engine.training import training
from workers.engine.training.training import train


@pytest.mark.parametrize(
    "architecture, sweep, alone",
    [
        ("topk", {"sweep_k": (2, 6)}, ({"k": 2}, {"k": 6})),
        ("topk", {"sweep_d_sae": (32, 40)}, ({"d_sae": 32}, {"d_sae": 40})),
        ("standard", {"sweep_coefficient": (0.5, 2.0)}, ({"l1_coefficient": 0.5}, {"l1_coefficient": 2.0})),
        # another seed alone would read the tokens in another order; in a sweep it decides the first weights only
        ("topk", {"sweep_seeds": (0, 5)}, ({}, {"sweep_seeds": (5,)})),
    ],
)
def test_an_sae_in_a_sweep_is_the_one_that_is_trained_alone(architecture, sweep, alone, cache, tmp_path):
    together = inputs(tmp_path, cache, "together")
    result = train(spec(architecture, **sweep), together, Progress())
    assert [trained.folder for trained in result.saes] == ["sae-00", "sae-01"]
    for member, options in enumerate(alone):
        where = inputs(tmp_path, cache, f"alone-{member}")
        single = train(spec(architecture, **options), where, Progress()).saes[0]
        assert same(weights(where), weights(together, member))
        swept = result.saes[member]
        assert (swept.loss, swept.fvu, swept.l0) == (single.loss, single.fvu, single.l0)
        assert swept.weights_sha256 == single.weights_sha256


def test_every_member_has_its_own_points_values_and_provenance(cache, tmp_path):
    where, progress = inputs(tmp_path, cache), Wishing("none", 10**9)
    result = train(spec(sweep_d_sae=(32, 40), sweep_k=(2, 6)), where, progress)
    points = progress.of("metrics")
    assert [(point["member"], point["step"]) for point in points[:5]] == [(0, 5), (1, 5), (2, 5), (3, 5), (0, 10)]
    last = {point["member"]: point["values"] for point in points}
    checkpoint = progress.of("checkpoint")[-1]
    for trained, (d_sae, k) in zip(result.saes, [(32, 2), (32, 6), (40, 2), (40, 6)], strict=True):
        assert trained.loss == last[trained.member]["loss"] == checkpoint["values"][str(trained.member)]["loss"]
        assert trained.l0 == pytest.approx(k, abs=0.3)
        sae = sae_read(sae_folder(where, trained.member))
        assert (sae.encode_spec.d_sae, sae.encode_spec.k) == (d_sae, k)
        record = json.loads((sae_folder(where, trained.member) / "provenance.json").read_text())
        assert (record["spec"]["d_sae"], record["spec"]["k"]) == (d_sae, k)
    folder = Path(where.job_dir) / checkpoint["path"]
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    assert names == [f"sae-0{n}.safetensors" for n in range(4)] + ["source.safetensors"]
    assert checkpoint["bytes"] == sum(path.stat().st_size for path in folder.iterdir())


def test_one_batch_is_taken_for_all_members_of_a_step(cache, tmp_path, monkeypatch):
    taken, open_source = [], training.source_open

    def counting(spec, inputs, progress):
        source = open_source(spec, inputs, progress)
        batches = source.batches
        source.batches = lambda step: taken.append(step) or batches(step)
        return source

    monkeypatch.setattr(training, "source_open", counting)
    train(spec(sweep_k=(2, 3, 4)), inputs(tmp_path, cache), Progress())
    assert taken == list(range(30))
