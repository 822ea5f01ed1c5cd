"""The same feature in other SAEs: whose decoder rows point the same way.

Compared are SAEs of one language model by the cosine of decoder rows, read straight from their weights. Directions mean the
same at one hook site, and nearly so at all places of the residual stream, whose basis the layers share; those are marked.
The inputs of output projections and MLPs have a basis for each layer: they are compared at the same site alone.

Shapes: F latents, C rows of a chunk, E width of a decoder row.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.features.models import Feature
from apps.saes.models import Sae

RESIDUAL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
"""Sites that read or write the residual stream: one basis for all layers."""
MOST_SAES = 12
"""SAEs read for one answer: those at the same site first, then the nearest layers, then the newest."""
LISTED = 3
CHUNK_ROWS = 4096
EULER = 0.5772156649015329


@dataclass(frozen=True)
class Counterpart:
    """A feature of another SAE. `feature` is its row, None before a feature run."""

    index: int
    cosine: float
    feature: Feature | None


@dataclass(frozen=True)
class OtherSae:
    """Another SAE with its nearest features. `trouble` says why there are none."""

    sae: Sae
    site: str
    """Where its features write."""
    is_same_site: bool
    rows: tuple[Counterpart, ...]
    chance: float
    """The largest cosine to expect among so many random directions."""
    trouble: str = ""


@dataclass(frozen=True)
class Counterparts:
    """The answer for one feature; `left_out` SAEs could be compared too, but are further away."""

    site: str
    others: tuple[OtherSae, ...]
    left_out: int


def counterparts_of(sae: Sae, index: int, *, listed: int = LISTED) -> Counterparts:
    """The nearest `listed` features of each comparable SAE, nearest first. AppError "weights_unreadable" for the own SAE."""
    layer, site = site_written(sae)
    direction_E = decoder_row(sae, index)
    found = [other for other in _comparable(sae) if width_written(other) == len(direction_E)]
    others = tuple(_nearest(other, direction_E, listed, is_same=_is_same(sae, other)) for other in found[:MOST_SAES])
    return Counterparts(f"{layer}.{site}", others, max(0, len(found) - MOST_SAES))


def site_written(sae: Sae) -> tuple[int, str]:
    """Layer and site that the SAE's features write to: a transcoder's own."""
    out = sae.encode.get("hook_site_out") or {"layer": sae.layer, "site": sae.site}
    return out["layer"], out["site"]


def width_written(sae: Sae) -> int:
    """Width of its decoder rows."""
    return sae.encode.get("d_out") or sae.d_in


def expected_largest(rows: int, width: int) -> float:
    """The largest cosine to expect between one direction and `rows` random ones: that of as many normal draws of variance
    1/width (Gumbel's mean)."""
    return NormalDist().inv_cdf(1 - math.exp(-EULER) / rows) / math.sqrt(width) if rows > 1 else 0.0


def decoder_row(sae: Sae, index: int) -> np.ndarray:
    """Unit decoder row (E,) of one feature, float32."""
    with _weights(sae) as file:
        row_E = file.get_slice("W_dec")[index : index + 1][0].astype(np.float32)
    return row_E / max(float(np.linalg.norm(row_E)), np.finfo(np.float32).tiny)


def nearest_rows(sae: Sae, direction_E: np.ndarray, listed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and cosines of the `listed` decoder rows nearest to a unit direction, nearest first."""
    cosines = []
    with _weights(sae) as file:
        rows = file.get_slice("W_dec")
        count = rows.get_shape()[0]
        for start in range(0, count, CHUNK_ROWS):
            chunk_CE = rows[start : min(start + CHUNK_ROWS, count)].astype(np.float32, copy=False)
            norms_C = np.sqrt(np.einsum("ce,ce->c", chunk_CE, chunk_CE))
            cosines.append(chunk_CE @ direction_E / np.maximum(norms_C, np.finfo(np.float32).tiny))
    cosine_F = np.concatenate(cosines)
    order = np.argsort(-cosine_F, kind="stable")[:listed]
    return order, cosine_F[order]


def _weights(sae: Sae) -> Any:
    """The weights of an SAE, memory-mapped."""
    try:
        return safe_open(data_path("saes", sae.pk, "sae_weights.safetensors"), framework="numpy")
    except (OSError, SafetensorError) as error:
        words = f"The weights of {sae} cannot be read."
        raise AppError("weights_unreadable", words, "Train or import it again.", status=410) from error


def _comparable(sae: Sae) -> list[Sae]:
    """Other SAEs whose directions can be held against those of `sae`: same site first, then the nearest layers."""
    layer, _ = _place(sae)
    others = Sae.objects.filter(language_model=sae.language_model_id).exclude(pk=sae.pk)
    shared = [other for other in others if _is_same(sae, other) or (_in_stream(sae) and _in_stream(other))]
    return sorted(shared, key=lambda other: (not _is_same(sae, other), abs(_place(other)[0] - layer), -other.pk))


def _place(sae: Sae) -> tuple[int, str]:
    """The site written, with one name for one place: what enters a block is what left the block before."""
    layer, site = site_written(sae)
    return (layer - 1, "resid_post") if site == "resid_pre" and layer else (layer, site)


def _is_same(sae: Sae, other: Sae) -> bool:
    return _place(sae) == _place(other)


def _in_stream(sae: Sae) -> bool:
    return site_written(sae)[1] in RESIDUAL


def _nearest(other: Sae, direction_E: np.ndarray, listed: int, *, is_same: bool) -> OtherSae:
    layer, site = site_written(other)
    found, trouble = (), ""
    try:
        ids, cosines = nearest_rows(other, direction_E, listed)
    except AppError as error:
        trouble = error.message
    else:
        rows = {row.index: row for row in other.features.filter(index__in=ids.tolist())}
        found = tuple(Counterpart(i, cosine, rows.get(i)) for i, cosine in zip(ids.tolist(), cosines.tolist()))
    chance = expected_largest(other.d_sae, len(direction_E))
    return OtherSae(other, f"{layer}.{site}", is_same, found, chance, trouble)


def counterparts_json(found: Counterparts) -> dict[str, Any]:
    """The answer as the API and `--json` show it."""
    return {
        "site": found.site,
        "left_out": found.left_out,
        "saes": [
            {
                "sae": {"id": each.sae.pk, "name": str(each.sae)},
                "site": each.site,
                "is_same_site": each.is_same_site,
                "chance": each.chance,
                "trouble": each.trouble or None,
                "features": [
                    {
                        "index": row.index,
                        "cosine": row.cosine,
                        "id": row.feature.pk if row.feature else None,
                        "label": row.feature.label if row.feature else "",
                        "auto_name": row.feature.auto_name if row.feature else "",
                    }
                    for row in each.rows
                ],
            }
            for each in found.others
        ],
    }
