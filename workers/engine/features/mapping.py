"""A feature map: the decoder directions of an SAE laid out on a plane, those that point alike close together.

    pca     the two principal components of the unit decoder rows: exact, linear, and blind to most of a dictionary
    umap    UMAP (McInnes et al. 2018) by cosine, begun at the principal components; needs the package umap-learn
    graph   the same idea without a package (graph_layout.py): neighbours pull, others push

How much of the neighbourhoods survives is measured and given with every map: distances on a plane say little by themselves.

Shapes: F latents, N those laid out, D width of a decoder row, K neighbours.
"""

import time
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workers.engine.features.graph_layout import graph_layout
from workers.engine.features.neighbours import similar_rows
from workers.engine.formats.saelens import sae_read
from workers.engine.progress import Progress
from workers.engine.specs.errors import BadArtifact, EngineError
from workers.engine.specs.feature_map import (
    NEAREST,
    UMAP_MODULE,
    UMAP_PIP,
    FeatureMapInputs,
    FeatureMapResult,
    FeatureMapSpec,
)
from workers.engine.tensor_file import tensor_file_create, tensor_file_open

FILE = "map.safetensors"
LEAST_POINTS = 10
JUDGED = 2_000
"""Features by which a map's neighbourhoods are judged: a random choice, or all when there are fewer."""
JUDGED_AT_ONCE = 256


def feature_map(spec: FeatureMapSpec, inputs: FeatureMapInputs, progress: Progress) -> FeatureMapResult:
    """Lay out the features and write map.safetensors. Raises EngineError "package_missing" for UMAP without its package,
    BadArtifact when fewer than LEAST_POINTS features are left."""
    began = time.monotonic()
    method = method_resolve(spec.method)
    progress.phase("Reading directions")
    sae = sae_read(inputs.sae_dir)
    is_placed_F = _alive(inputs.run_dir, sae.encode_spec.d_sae) if spec.alive_only else torch.ones(len(sae.W_dec)) > 0
    unit_ND = torch.nn.functional.normalize(sae.W_dec[is_placed_F], dim=-1)
    if len(unit_ND) < LEAST_POINTS:
        raise BadArtifact(
            f"Only {len(unit_ND)} features fire: too few for a map.", "Take a larger SAE, or keep the dead features."
        )
    progress.phase("Laying out", None, "features")
    xy_N2 = layout(unit_ND, method, spec, progress)
    progress.phase("Judging the map")
    kept, judged = neighbours_kept(unit_ND, xy_N2, spec.seed)
    path = Path(inputs.out_dir) / FILE
    xy_F2 = tensor_file_create(path, {"xy": ("float32", (len(is_placed_F), 2))})["xy"]
    xy_F2[...] = np.nan
    xy_F2[is_placed_F.numpy()] = xy_N2.numpy()
    xy_F2.flush()
    return FeatureMapResult(
        method=method,
        package=f"umap-learn {version('umap-learn')}" if method == "umap" else "",
        points=len(unit_ND),
        neighbours_kept=kept,
        neighbours_kept_n=judged,
        neighbours_kept_chance=min(NEAREST, len(unit_ND) - 1) / (len(unit_ND) - 1),
        bytes=path.stat().st_size,
        seconds=time.monotonic() - began,
    )


def method_resolve(method: str) -> str:
    """The method that "auto" stands for here. Raises EngineError "package_missing"."""
    has_umap = find_spec(UMAP_MODULE) is not None
    if method == "umap" and not has_umap:
        raise EngineError(
            "The package umap-learn is not installed.", f"{UMAP_PIP}, or choose another method.", code="package_missing"
        )
    return ("umap" if has_umap else "graph") if method == "auto" else method


def layout(unit_ND: Tensor, method: str, spec: FeatureMapSpec, progress: Progress) -> Tensor:
    """Places (N, 2) within [-1, 1] of unit directions, centred."""
    start_N2 = principal_components(unit_ND, 2)
    if method == "pca":
        return _framed(start_N2)
    read_ND = principal_components(unit_ND, spec.components) if spec.components else unit_ND
    if method == "umap":
        return _framed(_umap(read_ND, spec))
    ids, cosines = similar_rows(read_ND, min(spec.neighbours, len(read_ND) - 1))
    generator = torch.Generator().manual_seed(spec.seed)
    return _framed(graph_layout(torch.from_numpy(ids), torch.from_numpy(cosines), start_N2, generator, progress))


def principal_components(x_ND: Tensor, most: int) -> Tensor:
    """The first `most` principal components (N, most), largest variance first; fewer where D is smaller. Of either sign the
    one whose largest entry is positive, so that the same directions give the same map."""
    centred_ND = (x_ND - x_ND.mean(0)).double()
    _, axes_DD = torch.linalg.eigh(centred_ND.T @ centred_ND)
    axes_DC = axes_DD.flip(1)[:, :most]
    largest_1C = axes_DC.gather(0, axes_DC.abs().argmax(0, keepdim=True))
    return (centred_ND @ (axes_DC * largest_1C.sign())).float()


def _umap(read_ND: Tensor, spec: FeatureMapSpec) -> Tensor:
    """UMAP's embedding. One thread: with several its result would change from run to run."""
    threads = torch.get_num_threads()
    umap = import_module(UMAP_MODULE)
    model = umap.UMAP(
        n_neighbors=min(spec.neighbours, len(read_ND) - 1),
        min_dist=spec.min_distance,
        metric="cosine",
        init="pca",
        random_state=spec.seed,
        n_jobs=1,
    )
    xy_N2 = np.ascontiguousarray(model.fit_transform(read_ND.numpy()), dtype=np.float32)
    torch.set_num_threads(threads)  # numba sets OpenMP's number for the whole process
    return torch.from_numpy(xy_N2)


def neighbours_kept(unit_ND: Tensor, xy_N2: Tensor, seed: int) -> tuple[float, int]:
    """Mean share of a feature's NEAREST by cosine that are among its NEAREST on the map, and over how many features."""
    N = len(unit_ND)
    nearest = min(NEAREST, N - 1)
    chosen = torch.randperm(N, generator=torch.Generator().manual_seed(seed))[:JUDGED]
    shares = []
    for part in chosen.split(JUDGED_AT_ONCE):
        own = torch.arange(len(part))
        cosines, closeness = unit_ND[part] @ unit_ND.T, -torch.cdist(xy_N2[part], xy_N2)
        cosines[own, part] = closeness[own, part] = -torch.inf
        truth, shown = (each.topk(nearest, dim=-1).indices for each in (cosines, closeness))
        shares.append((truth[:, :, None] == shown[:, None, :]).any(-1).float().mean(-1))
    return torch.cat(shares).mean().item(), len(chosen)


def _framed(xy_N2: Tensor) -> Tensor:
    """Centred, and scaled so that the farthest coordinate is 1."""
    centred_N2 = xy_N2 - (xy_N2.amin(0) + xy_N2.amax(0)) / 2
    return centred_N2 / centred_N2.abs().max().clamp(min=1e-12)


def _alive(run_dir: str, d_sae: int) -> Tensor:
    """Which latents fired in the feature run; all without one."""
    if not run_dir:
        return torch.ones(d_sae, dtype=torch.bool)
    counts_F = tensor_file_open(Path(run_dir) / "statistics.safetensors")["count"]
    if len(counts_F) != d_sae:
        raise BadArtifact("The feature run is of another SAE.", "Start another feature run for this SAE.")
    return torch.from_numpy(np.asarray(counts_F) > 0)
