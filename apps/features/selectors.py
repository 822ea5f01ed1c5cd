"""What pages, endpoints and commands read of features and feature runs."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, reduce
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from apps.core.errors import AppError, NotFound
from apps.core.selectors import row_of
from apps.features import artifacts
from apps.features.collections.selectors import collection_features
from apps.features.models import PECULIARITIES, Collection, Feature, FeatureRun
from apps.features.reading import ReadingFilter
from apps.features.search.index_sets import IndexSet, index_set, intersection, within
from apps.features.search.queries import features_firing_on, features_in_category, part_found, query_parts
from apps.jobs.models import Job
from apps.jobs.subjects import with_job
from apps.saes.models import Sae
from workers.engine.specs.features import DefaultView

SORTS = {
    "interest": ("-interest", "index"),
    "index": ("index",),
    "density": ("-density", "index"),
    "rarest": ("density", "index"),
    "maximum": ("-maximum", "index"),
    "mean": ("-mean", "index"),
    "firings": ("-firings", "index"),
    "score": ("-score", "index"),
    "agreement": ("-agreement", "index"),
    "consistency": ("-consistency", "index"),
    "concentration": ("-concentration", "index"),
}
SORT_CHOICES = (
    ("interest", "interest"),
    ("index", "index"),
    ("density", "density, highest first"),
    ("rarest", "density, lowest first"),
    ("maximum", "max activation"),
    ("mean", "mean activation"),
    ("firings", "firings"),
    ("score", "agreement of contexts"),
    ("agreement", "agreement"),
    ("consistency", "consistency"),
    ("concentration", "share of one token"),
)


DEFAULT_SORT = "interest"
MOST_PEEKED = 3
"""Examples below a row of the list."""
MOST_SORTED = 5_000
"""Features that a database may sort before the page that is shown."""


def feature_run_get(pk: int) -> FeatureRun:
    """The feature run; NotFound otherwise."""
    run = FeatureRun.objects.select_related("sae", "tokenization__dataset", "tokenization__language_model")
    return row_of(run, "feature run", pk)


def feature_run_list(*, sae: int | None = None) -> QuerySet[FeatureRun]:
    """Feature runs of all SAEs or of one, newest first, each with `job_state` of its newest job."""
    jobs = Job.objects.filter(subject_entity=FeatureRun.ENTITY, subject_id=OuterRef("pk")).order_by("-id")
    runs = FeatureRun.objects.select_related("sae", "tokenization__dataset", "tokenization__language_model")
    runs = runs.annotate(job_state=Subquery(jobs.values("state")[:1]))
    return runs if sae is None else runs.filter(sae=sae)


def feature_run_newest(sae: Sae) -> FeatureRun | None:
    """The newest feature run of an SAE, finished or not."""
    return sae.feature_runs.select_related("tokenization__dataset", "tokenization__language_model").first()


def feature_get(pk: int) -> Feature:
    """The feature by its row's id; NotFound otherwise."""
    return row_of(Feature.objects.select_related("sae", "run"), "feature", pk)


def feature_of(sae: Sae, index: int) -> Feature | None:
    """Feature `index` of an SAE; None before a feature run. NotFound beyond its d_sae."""
    if not 0 <= index < sae.d_sae:
        raise NotFound("feature", index)
    return sae.features.select_related("sae", "run").filter(index=index).first()


def feature_list(
    *,
    sae: int | None = None,
    query: str = "",
    fires_on: str = "",
    category: str = "",
    indices: Sequence[int] = (),
    collection: Collection | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    starred: bool = False,
    labelled: str = "",
    peculiarity: str = "",
    sort: str = DEFAULT_SORT,
) -> QuerySet[Feature]:
    """Features by words and numbers; what is left out does not narrow.

    `query` is the search box's (search/queries.py); `fires_on` a token; `category` a path, with all below it; `indices`
    numbers of features; `collection` one that they must lie in. `bounds` has the least and greatest value of any of NUMBERS;
    `labelled` is "yes", "no" or empty; `peculiarity` one of PECULIARITIES' words; `sort` a key of SORTS.
    """
    found = Feature.objects.select_related("sae")
    if sae is not None:
        found = found.filter(sae=sae)
    finders = _finders(query, fires_on, category, indices, collection)
    if finders:
        known = [sae] if sae is not None else list(Sae.objects.values_list("pk", flat=True))
        chosen = [Q(sae=pk) & within(intersection([find(pk) for find in finders])) for pk in known]
        found = found.filter(reduce(Q.__or__, chosen, Q(pk__in=[])))
    for number, (low, high) in (bounds or {}).items():
        found = found.filter(**{f"{number}__gte": low} if low is not None else {})
        found = found.filter(**{f"{number}__lte": high} if high is not None else {})
    if starred:
        found = found.filter(is_starred=True)
    if labelled:
        found = found.filter(label_source="") if labelled == "no" else found.exclude(label_source="")
    if peculiarity:
        found = found.filter(peculiarity=next(kind for kind, words in PECULIARITIES.items() if words == peculiarity))
    return found.order_by(*SORTS[sort])


def _finders(
    query: str, fires_on: str, category: str, indices: Sequence[int], collection: Collection | None
) -> list[Callable[[int], IndexSet]]:
    """What was asked that the number columns cannot answer: each finds features of the SAE it is called with."""
    found: list[Callable[[int], IndexSet]] = [
        lambda sae, part=part: part_found(sae, part) for part in query_parts(query)
    ]
    if fires_on.strip():
        found.append(lambda sae: features_firing_on(sae, fires_on))
    if category.strip():
        found.append(lambda sae: features_in_category(sae, category))
    if indices:
        found.append(lambda sae: index_set(indices))
    if collection is not None:
        found.append(lambda sae: collection_features(collection, sae))
    return found


class FoundFeatures:
    """A list of features as Paginator takes it: a page is chosen in the index alone, then its rows are read."""

    ordered = True

    def __init__(self, found: QuerySet[Feature]) -> None:
        self._found = found

    def count(self) -> int:
        """How many there are."""
        return self._count

    @cached_property
    def _count(self) -> int:
        return self._found.count()

    def __getitem__(self, part: slice) -> list[Feature]:
        places = self._places(part.start or 0, part.stop)
        by_sae: dict[int, list[int]] = {}
        for sae_id, index in places:
            by_sae.setdefault(sae_id, []).append(index)
        rows = Feature.objects.select_related("sae").filter(
            reduce(Q.__or__, [Q(sae=sae_id, index__in=indices) for sae_id, indices in by_sae.items()], Q(pk__in=[]))
        )
        known = {(row.sae_id, row.index): row for row in rows}
        return [known[place] for place in places if place in known]

    def _places(self, start: int, stop: int) -> list[tuple[int, int]]:
        """SAE and index of the features of a page. Late pages are counted from the end: what lies before is sorted too."""
        found = self._found.values_list("sae_id", "index")
        if start < MOST_SORTED or start < self._count / 2:
            return list(found[start:stop])
        return list(found.reverse()[max(0, self._count - stop) : self._count - start])[::-1]


def feature_random(sae: Sae) -> Feature | None:
    """Any feature that fires; None when there is none."""
    alive = sae.features.filter(density__gt=0)
    count = alive.count()
    if not count:
        return None
    place = random.randrange(count)
    return FoundFeatures(alive)[place : place + 1][0]


def categories_of(sae: Sae) -> list[str]:
    """The SAE's categories in order, for suggestions."""
    names = sae.features.exclude(category="").order_by("category").values_list("category", flat=True)
    return list(names.distinct()[:200])


def snippets_of(features: list[Feature]) -> dict[int, artifacts.Example]:
    """Feature id → its strongest example, for those that have one. A run whose files are gone gives none."""
    by_run: dict[int, dict[int, int]] = {}
    for feature in features:
        if feature.run_id is not None and feature.maximum > 0:
            by_run.setdefault(feature.run_id, {})[feature.index] = feature.pk
    found: dict[int, artifacts.Example] = {}
    for run_id, ids in by_run.items():
        try:
            best = artifacts.best_examples(run_id, list(ids))
        except AppError:
            continue
        found |= {ids[index]: example for index, example in best.items()}
    return found


def strongest_examples(feature: Feature) -> list[artifacts.Example]:
    """The strongest few examples of a feature; none where its run or the run's files are gone."""
    if feature.run_id is None or feature.maximum <= 0:
        return []
    try:
        found = artifacts.examples_read(feature.run_id, feature.index)
    except AppError:
        return []
    groups = artifacts.examples_grouped(found, feature.maximum)
    return [example for group in groups if group.kind == "top" for example in group.examples][:MOST_PEEKED]


def feature_json(feature: Feature) -> dict[str, Any]:
    """The feature's row as the API and `--json` show it."""
    return {
        "id": feature.pk,
        "sae": feature.sae_id,
        "index": feature.index,
        "label": feature.label,
        "category": feature.category,
        "label_source": feature.label_source,
        "notes": feature.notes,
        "is_starred": feature.is_starred,
        "density": feature.density,
        "mean": feature.mean,
        "maximum": feature.maximum,
        "firings": feature.firings,
        "consistency": feature.consistency,
        "concentration": feature.concentration,
        "agreement": feature.agreement,
        "score": feature.score,
        "interest": feature.interest,
        "peculiarity": feature.get_peculiarity_display(),
        "auto_name": feature.auto_name,
        "peak_words": [{"word": word, "share": share} for word, share in feature.peak_words],
        "gloss": feature.gloss,
        "promoted_tokens": feature.promoted_tokens.split(),
        "run": feature.run_id,
        "url": feature.get_absolute_url(),
    }


def feature_evidence_json(feature: Feature) -> dict[str, Any]:
    """What the run's files say of a feature: statistics, logit lists, examples in groups. Empty without a run.

    All examples are there; `hidden_by` says why the run's view keeps one out of sight, "" for one that shows.
    """
    if feature.run is None:
        return {"statistics": None, "top_tokens": [], "neighbours": None, "logits": None, "examples": []}
    statistics = artifacts.statistics_read(feature.run_id, feature.index)
    logits = artifacts.logits_read(feature.run_id, feature.index)
    reading = ReadingFilter.of(feature.run)
    similar, coactive = artifacts.neighbours_read(feature.run_id, feature.index)
    groups = artifacts.examples_grouped(artifacts.examples_read(feature.run_id, feature.index), statistics.maximum)
    return {
        "statistics": {"tokens": feature.run.tokens, **asdict(statistics)},
        "top_tokens": [asdict(token) for token in artifacts.top_tokens_read(feature.run_id, feature.index)],
        "neighbours": {
            "similar": [asdict(near) for near in similar],
            "coactive": [asdict(near) for near in coactive],
        },
        "logits": asdict(logits),
        "examples": [
            {
                "kind": group.kind,
                "group": group.group,
                "low": group.low,
                "high": group.high,
                "examples": [
                    {**example_json(example), "hidden_by": reading.hides(example, statistics.maximum)}
                    for example in group.examples
                ],
            }
            for group in groups
        ],
    }


def example_json(example: artifacts.Example) -> dict[str, Any]:
    """One example: raw tokens with what they show and their activations."""
    return {
        "tokens": list(example.tokens),
        "texts": example.texts,
        "activations": list(example.activations),
        "peak": example.peak,
        "peak_value": example.peak_value,
        "context": example.context,
        "repeats": example.repeats,
    }


def feature_run_json(run: FeatureRun) -> dict[str, Any]:
    """The feature run as the API and `--json` show it."""
    shown = {
        "id": run.pk,
        "ready": run.is_ready,
        "sae": {"id": run.sae_id, "name": str(run.sae)},
        "tokenization": {"id": run.tokenization_id, "name": str(run.tokenization)},
        "tokens": run.tokens,
        "alive": run.alive,
        "bytes": run.bytes,
        "summary": run.summary,
        "read_as": run.report.get("read_as"),
        "notes": run.notes,
        "view": DefaultView.from_json(run.view).to_json(),
        "created_at": run.created_at.isoformat(),
        "ready_at": run.ready_at.isoformat() if run.ready_at else None,
        "url": run.get_absolute_url(),
        "topic": run.topic,
    }
    return with_job(shown, run)
