"""An area of a feature map as a filter of the list: "12:0.1,0.2;0.3,0.2;0.2,0.4" are the features inside that polygon on
map 12.

Shapes: F latents, C corners.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from django import forms
from django.db.models import QuerySet
from safetensors import SafetensorError, safe_open

from apps.core.asking import whole_or_none
from apps.core.errors import AppError
from apps.features.models import Feature, FeatureMap
from apps.features.search.index_sets import IndexSet, index_set, within

MOST_CORNERS = 200
FORM = "An area is written 12:0.1,0.2;0.3,0.2;0.2,0.4: the map's id and three corners or more."


@dataclass(frozen=True)
class Area:
    """A polygon on a map, and the numbers of the features inside it."""

    map_id: int
    sae_id: int
    indices: IndexSet


class AreaField(forms.CharField):
    """Cleans to an Area, or None when empty. The polygon closes by itself."""

    widget = forms.HiddenInput

    def __init__(self, **known: Any) -> None:
        super().__init__(required=False, max_length=20 * MOST_CORNERS, label="Area of the map", help_text=FORM, **known)

    def clean(self, value: Any) -> Area | None:
        text = super().clean(value)
        if not text:
            return None
        pk, corners_C2 = _parsed(text)
        found = FeatureMap.objects.filter(pk=pk, ready_at__isnull=False).first()
        if found is None:
            raise forms.ValidationError("The map of this area is gone: draw the area again.")
        try:
            inside = np.flatnonzero(is_inside(places_read(found), corners_C2))
        except AppError as error:
            raise forms.ValidationError(error.message) from None
        return Area(found.pk, found.sae_id, index_set(inside))


def area_narrow(features: QuerySet[Feature], area: Area | None) -> QuerySet[Feature]:
    """Those of `features` that lie in the area; all without one."""
    return features if area is None else features.filter(within(area.indices), sae=area.sae_id)


def places_read(feature_map: FeatureMap) -> np.ndarray:
    """(d_sae, 2) float32 within [-1, 1], NaN for features left out. AppError when the file is gone."""
    try:
        with safe_open(feature_map.folder / "map.safetensors", framework="numpy") as file:
            return file.get_tensor("xy")
    except (OSError, SafetensorError) as error:
        words = f"The file of {feature_map} cannot be read."
        raise AppError("map_unreadable", words, "Lay out another map.", status=410) from error


def is_inside(xy_F2: np.ndarray, corners_C2: np.ndarray) -> np.ndarray:
    """Which points (F,) lie inside the polygon, by counting the edges to their right; NaN lies nowhere."""
    x_F, y_F = xy_F2[:, 0], xy_F2[:, 1]
    inside_F = np.zeros(len(xy_F2), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners_C2, np.roll(corners_C2, -1, axis=0)):
        if y0 == y1:
            continue
        crosses_F = (y_F >= min(y0, y1)) & (y_F < max(y0, y1))
        inside_F ^= crosses_F & (x_F < x0 + (y_F - y0) * (x1 - x0) / (y1 - y0))
    return inside_F


def _parsed(text: str) -> tuple[int, np.ndarray]:
    """Map id and corners (C, 2)."""
    name, _, rest = text.partition(":")
    pk = whole_or_none(name)
    try:
        corners_C2 = np.array([[float(number) for number in pair.split(",")] for pair in rest.split(";")])
    except ValueError:
        raise forms.ValidationError(FORM) from None
    is_polygon = corners_C2.ndim == 2 and corners_C2.shape[1] == 2 and 3 <= len(corners_C2) <= MOST_CORNERS
    if pk is None or not (is_polygon and np.isfinite(corners_C2).all()):
        raise forms.ValidationError(FORM)
    return pk, corners_C2
