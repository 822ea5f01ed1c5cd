"""What is shown of a feature map: its facts, and its points as columns that the page's script draws."""

from typing import Any

import numpy as np
from django import forms

from apps.core.asking import row_or_none
from apps.core.errors import AppError, NotFound
from apps.core.selectors import row_of
from apps.features.forms import FeatureFilterForm
from apps.features.maps.areas import places_read
from apps.features.models import FeatureMap
from apps.features.services import PATH_SEPARATOR
from apps.jobs.subjects import with_job
from apps.saes.models import Sae
from workers.engine.specs.feature_map import METHOD_NAMES, NEAREST, FeatureMapResult

COLOURS = (
    ("density", "density"),
    ("maximum", "max activation"),
    ("score", "readability"),
    ("category", "category"),
)
MOST_LABELLED = 20_000
"""Of more points the pointer says the number alone: words would be larger than the picture."""
DIGITS = 4
"""Decimals of a place: a ten-thousandth of the map."""


class MapForm(forms.Form):
    """What the points' colour says."""

    colour = forms.ChoiceField(
        required=False, choices=COLOURS, label="Colour by", help_text="What the points' colour says."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["colour"].widget.attrs["data-submits"] = True


def map_get(pk: int) -> FeatureMap:
    """The map; NotFound otherwise."""
    return row_of(FeatureMap.objects.select_related("sae"), "feature map", pk)


def map_shown(sae: Sae, asked: str = "") -> FeatureMap | None:
    """The ready map with the id `asked`, else the newest ready one; None before the first. NotFound for an unknown id."""
    ready = sae.feature_maps.filter(ready_at__isnull=False)
    if not asked:
        return ready.first()
    found = row_or_none(ready, asked)
    if found is None:
        raise NotFound("feature map", asked)
    return found


def map_newest(sae: Sae) -> FeatureMap | None:
    """The newest map, finished or not: what its job does is shown."""
    return sae.feature_maps.first()


def map_words(feature_map: FeatureMap) -> str:
    """How a ready map was made: "UMAP (umap-learn 0.5.12) of 4,608 features"."""
    result = FeatureMapResult.from_json(feature_map.report)
    package = f" ({result.package})" if result.package else ""
    name = METHOD_NAMES[result.method]
    return f"{name[:1].upper()}{name[1:]}{package} of {result.points:,} features"


def map_metrics(feature_map: FeatureMap) -> list[dict[str, Any]]:
    """How far the map can be trusted, for components/stats.html."""
    result = FeatureMapResult.from_json(feature_map.report)
    return [
        {
            "label": "Neighbours kept",
            "value": f"{100 * result.neighbours_kept:.3g} %",
            "n": result.neighbours_kept_n,
            "n_unit": "features",
            "help": f"Share of a feature's {NEAREST} nearest by decoder cosine that are also among its {NEAREST} nearest on "
            "the map. What lies far apart may still be near in truth: trust groups, not distances.",
            "formula": f"|nearest by cosine ∩ nearest on the map| / {NEAREST}",
            "note": f"by chance {100 * result.neighbours_kept_chance:.2g} %",
        }
    ]


def map_points(feature_map: FeatureMap, query: Any) -> dict[str, Any]:
    """Columns over the placed features: index, x, y, the value behind the colour, label and automatic name, and whether the
    filters in `query` (those of the list, and ?colour=) keep it; `matches` is None when nothing narrows. AppError
    "bad_filter"."""
    colour = _colour(query)
    xy_F2 = places_read(feature_map)
    placed = np.flatnonzero(np.isfinite(xy_F2[:, 0]))
    rows = {
        feature.index: (getattr(feature, colour), feature.label, feature.auto_name)
        for feature in feature_map.sae.features.only("index", colour, "label", "peak_words")
    }
    none = ("" if colour == "category" else None, "", "")
    columns = [rows.get(index, none) for index in placed.tolist()]
    made = {
        "colour": colour,
        "colour_words": dict(COLOURS)[colour],
        "index": placed.tolist(),
        "x": [round(value, DIGITS) for value in xy_F2[placed, 0].tolist()],
        "y": [round(value, DIGITS) for value in xy_F2[placed, 1].tolist()],
        "value": [_value(value, colour) for value, _, _ in columns],
        "matches": _matches(feature_map.sae, query, placed),
    }
    if len(placed) <= MOST_LABELLED:
        made |= {"label": [label for _, label, _ in columns], "auto_name": [name for _, _, name in columns]}
    return made


def _colour(query: Any) -> str:
    form = MapForm(query)
    if not form.is_valid():
        known = ", ".join(value for value, _ in COLOURS)
        raise AppError(
            "bad_filter", f"colour={query.get('colour')!r} is not known.", f"Known: {known}.", field="colour"
        )
    return form.cleaned_data["colour"] or COLOURS[0][0]


def _value(value: Any, colour: str) -> Any:
    """A category by its first two parts; numbers with four significant digits."""
    if colour == "category":
        return PATH_SEPARATOR.join(value.split(PATH_SEPARATOR)[:2])
    return None if value is None else float(f"{value:.4g}")


def _matches(sae: Sae, query: Any, placed: np.ndarray) -> list[int] | None:
    form = FeatureFilterForm(query)
    form.require_valid()
    if not form.narrows:
        return None
    kept = set(form.found(sae=sae.pk).order_by().values_list("index", flat=True))
    return [int(index in kept) for index in placed.tolist()]


def map_json(feature_map: FeatureMap) -> dict[str, Any]:
    """A map as the API and `--json` show it; `result` is a FeatureMapResult, null until it is laid out."""
    shown = {
        "id": feature_map.pk,
        "ready": feature_map.is_ready,
        "sae": {"id": feature_map.sae_id, "name": str(feature_map.sae)},
        "method": feature_map.method,
        "result": feature_map.report or None,
        "bytes": feature_map.bytes,
        "created_at": feature_map.created_at.isoformat(),
        "ready_at": feature_map.ready_at.isoformat() if feature_map.ready_at else None,
        "url": feature_map.get_absolute_url(),
        "topic": feature_map.topic,
    }
    return with_job(shown, feature_map)
