"""Feature maps: planted groups of directions stay together, and the same seed gives the same places."""

import dataclasses
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.engine.saes.worlds import random_sae
from workers.engine.features import mapping
from workers.engine.features.mapping import feature_map, layout, method_resolve, neighbours_kept, principal_components
from workers.engine.formats.saelens import sae_write
from workers.engine.progress import Progress
from workers.engine.specs.errors import BadArtifact, EngineError
from workers.engine.specs.feature_map import FeatureMapInputs, FeatureMapSpec

GROUPS, PER, D = 8, 40, 48
SPEC = FeatureMapSpec(sae=1, method="graph")
needs_umap = pytest.mark.skipif(find_spec("umap") is None, reason="umap-learn is not installed")
METHODS = ["graph", pytest.param("umap", marks=needs_umap)]


@pytest.fixture(scope="module")
def planted():
    """Unit directions in eight groups, and the group of each."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(GROUPS, D, generator=generator), dim=-1)
    noise = torch.nn.functional.normalize(torch.randn(GROUPS * PER, D, generator=generator), dim=-1)
    unit = torch.nn.functional.normalize(centres.repeat_interleave(PER, 0) + 0.8 * noise, dim=-1)
    return unit, torch.arange(GROUPS).repeat_interleave(PER)


def purity(xy, groups):
    """Share of each point's ten nearest that are of its group."""
    apart = torch.cdist(xy, xy).fill_diagonal_(torch.inf)
    return (groups[apart.topk(10, largest=False).indices] == groups[:, None]).float().mean().item()


@pytest.mark.parametrize("method", METHODS)
def test_planted_groups_lie_together_where_principal_components_mix_them(planted, method):
    unit, groups = planted
    xy = layout(unit, method, SPEC, Progress())
    assert purity(xy, groups) > 0.98 > 0.9 > purity(layout(unit, "pca", SPEC, Progress()), groups)
    kept, n = neighbours_kept(unit, xy, 0)
    by_components = neighbours_kept(unit, layout(unit, "pca", SPEC, Progress()), 0)[0]
    assert kept > 1.5 * by_components and n == GROUPS * PER
    assert xy.abs().max() == pytest.approx(1, abs=1e-6)
    assert (xy.amin(0) + xy.amax(0)).abs().max() < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides_the_places(planted, method):
    unit, _ = planted
    first, same, other = (
        layout(unit, method, dataclasses.replace(SPEC, method=method, seed=seed), Progress()) for seed in (0, 0, 1)
    )
    assert torch.equal(first, same) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("graph", {"neighbours": 5}),
        ("graph", {"components": 4}),
        pytest.param("umap", {"neighbours": 5}, marks=needs_umap),
        pytest.param("umap", {"min_distance": 0.9}, marks=needs_umap),
        pytest.param("umap", {"components": 4}, marks=needs_umap),
    ],
)
def test_each_option_changes_the_map(planted, method, change):
    unit = planted[0][::2]
    plain, changed = (layout(unit, method, dataclasses.replace(SPEC, **more), Progress()) for more in ({}, change))
    assert (plain - changed).abs().max() > 0.05


def test_principal_components_are_those_of_the_singular_values(planted):
    unit, _ = planted
    centred = (unit - unit.mean(0)).double().numpy()
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    found = principal_components(unit, 3).numpy()
    for column in range(3):
        truth = left[:, column] * values[column]
        assert min(np.abs(found[:, column] - truth).max(), np.abs(found[:, column] + truth).max()) < 1e-5
    torch.testing.assert_close(principal_components(unit.flip(0), 3).flip(0), principal_components(unit, 3))


def test_neighbours_kept_is_all_for_the_truth_itself_and_chance_for_random_places():
    angles = torch.rand(400, generator=torch.Generator().manual_seed(0)) * 2 * torch.pi
    unit = torch.stack([angles.cos(), angles.sin()], 1)
    assert neighbours_kept(unit, unit * 5, 0) == (pytest.approx(1, abs=0.01), 400)
    scattered = torch.rand(400, 2, generator=torch.Generator().manual_seed(1))
    assert neighbours_kept(unit, scattered, 0)[0] == pytest.approx(10 / 399, abs=0.01)


def run(tmp_path, sae, counts=None, **options):
    sae_write(sae, tmp_path / "sae")
    (tmp_path / "out").mkdir(parents=True)
    if counts is not None:
        (tmp_path / "run").mkdir(parents=True)
        save_file({"count": counts}, tmp_path / "run" / "statistics.safetensors")
    inputs = FeatureMapInputs(
        job_dir="",
        out_dir=str(tmp_path / "out"),
        sae_dir=str(tmp_path / "sae"),
        run_dir="" if counts is None else str(tmp_path / "run"),
    )
    result = feature_map(dataclasses.replace(SPEC, **options), inputs, Progress())
    return result, load_file(tmp_path / "out" / "map.safetensors")["xy"]


def test_dead_features_have_no_place_unless_they_are_wanted(tmp_path):
    counts = np.arange(48, dtype=np.int64) % 3
    result, xy = run(tmp_path, random_sae(), counts)
    assert result.points == 32 and (result.method, result.package) == ("graph", "")
    np.testing.assert_array_equal(np.isnan(xy).all(1), counts == 0)
    result, xy = run(tmp_path / "again", random_sae(), counts, alive_only=False)
    assert result.points == 48 and np.isfinite(xy).all()


def test_without_a_feature_run_all_features_have_a_place(tmp_path):
    result, xy = run(tmp_path, random_sae(), method="pca")
    assert result.points == 48 and result.method == "pca" and np.isfinite(xy).all()
    assert result.neighbours_kept_chance == pytest.approx(10 / 47)


def test_too_few_features_and_a_run_of_another_sae_are_refused(tmp_path):
    with pytest.raises(BadArtifact, match="Only 2 features"):
        run(tmp_path, random_sae(), np.eye(1, 48, 3, dtype=np.int64)[0] + np.eye(1, 48, 5, dtype=np.int64)[0])
    with pytest.raises(BadArtifact, match="another SAE"):
        run(tmp_path / "again", random_sae(), np.ones(7, np.int64))


@needs_umap
def test_umap_is_named_with_its_version(tmp_path):
    result, _ = run(tmp_path, random_sae(), method="umap")
    assert result.method == "umap" and result.package.startswith("umap-learn 0.")


def test_without_the_package_umap_is_refused_with_what_to_install_and_auto_takes_the_graph(monkeypatch):
    monkeypatch.setattr(mapping, "find_spec", lambda name: None)
    with pytest.raises(EngineError) as refused:
        method_resolve("umap")
    assert refused.value.code == "package_missing" and 'pip install -e ".[map]"' in refused.value.hint
    assert method_resolve("auto") == "graph"
    monkeypatch.setattr(mapping, "find_spec", lambda name: object())
    assert method_resolve("auto") == "umap"
