"""Spec of a feature map: a layout of an SAE's decoder directions in two dimensions."""

from dataclasses import dataclass
from typing import ClassVar

from workers.engine.specs.base import Inputs, Result, Spec, option

METHODS = (
    ("auto", "UMAP where it is installed, else the neighbour graph"),
    ("umap", "UMAP"),
    ("graph", "neighbour graph"),
    ("pca", "first two principal components"),
)
METHOD_NAMES = dict(METHODS)
UMAP_MODULE = "umap"
UMAP_PIP = 'pip install -e ".[map]"'
"""What brings the package that method "umap" needs."""
NEAREST = 10
"""Neighbours by which a layout is judged."""


@dataclass(frozen=True, kw_only=True)
class FeatureMapSpec(Spec):
    """Lay out an SAE's features on a plane so that those whose decoder rows point alike lie together."""

    KIND: ClassVar[str] = "feature_map"
    QUEUE: ClassVar[str] = "cpu"
    TITLE: ClassVar[str] = "Map features"
    ENGINE: ClassVar[str] = "features.mapping:feature_map"

    sae: int = option(label="SAE", reference="saes.Sae", help="The SAE whose decoder rows are laid out.")
    method: str = option(
        "auto",
        label="Method",
        choices=METHODS,
        help="UMAP comes with an optional package; the neighbour graph needs none; principal components are exact and coarse.",
    )
    neighbours: int = option(
        15,
        label="Neighbours",
        minimum=2,
        maximum=200,
        only_for=("method", ("auto", "umap", "graph")),
        help="Nearest directions that pull each feature: few show small groups, many the whole.",
        source="UMAP",
    )
    min_distance: float = option(
        0.1,
        label="Least distance",
        minimum=0.0,
        maximum=1.0,
        only_for=("method", ("auto", "umap")),
        advanced=True,
        help="How close UMAP may put two features.",
        source="UMAP",
    )
    components: int = option(
        0,
        label="Principal components first",
        minimum=0,
        maximum=2000,
        only_for=("method", ("auto", "umap", "graph")),
        advanced=True,
        help="Directions are reduced to so many principal components before; 0 takes them whole.",
    )
    alive_only: bool = option(
        True,
        label="Leave out dead features",
        advanced=True,
        help="Features that fired nowhere in the newest feature run have no direction worth placing.",
    )
    seed: int = option(
        0,
        label="Seed",
        minimum=0,
        maximum=2**53 - 1,
        advanced=True,
        only_for=("method", ("auto", "umap", "graph")),
        help="Decides the layout's random steps: the same seed gives the same map.",
    )


@dataclass(frozen=True, kw_only=True)
class FeatureMapInputs(Inputs):
    sae_dir: str = ""
    run_dir: str = ""
    """Files of the newest feature run, by which dead features are known; empty without one."""


@dataclass(frozen=True, kw_only=True)
class FeatureMapResult(Result):
    """The folder holds map.safetensors with `xy` (d_sae, 2) float32 within [-1, 1], NaN for features left out."""

    method: str
    """umap, graph or pca: what was used."""
    package: str
    """The package and version that laid it out; empty for our own."""
    points: int
    neighbours_kept: float
    """Mean share of a feature's NEAREST neighbours by cosine that are among its NEAREST on the map."""
    neighbours_kept_n: int
    """Features over which that is a mean."""
    neighbours_kept_chance: float
    """The same share for a map drawn at random."""
    bytes: int
    seconds: float
