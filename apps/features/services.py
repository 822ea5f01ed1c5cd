"""Writes about features: starting a feature run, and the words people give to features.

Statistics belong to runs, words to people: nothing here changes a number, and no run changes a word.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.storage import artifact_remove, folder_bytes
from apps.features.artifacts import run_folder
from apps.features.models import Feature, FeatureRun
from apps.features.plans import feature_run_plan
from apps.features.run_rows import rows_write, terms_write
from apps.features.search.index_sets import IndexSet, index_set, members_by_sae, union, within
from apps.features.search.terms import PATH_SEPARATOR, TermSets, terms_of, word_terms_change
from apps.jobs.services import job_enqueue, jobs_require_none_active
from workers.engine.specs.features import FeatureRunSpec
from workers.engine.specs.type_words import TYPE_WORDS

MOST_LABEL_CHARACTERS = 300
MOST_CATEGORY_CHARACTERS = 200
MOST_NOTES_CHARACTERS = 20_000
WORDS = ("label", "category", "label_source")
MANUAL = "manual"
"""The source of words that a person chose."""


# runs


@transaction.atomic
def feature_run_start(*, spec: FeatureRunSpec, user: AbstractBaseUser | None = None) -> FeatureRun:
    """Write a run for each SAE and queue the job that fills them; returns the first. AppError as from feature_run_plan."""
    plan = feature_run_plan(spec)
    common = {"tokenization": plan.tokenization, "created_by": user, "view": spec.view.to_json()}
    run = FeatureRun.objects.create(sae=plan.saes[0], **common)
    for sae in plan.saes[1:]:
        FeatureRun.objects.create(sae=sae, lead=run, **common)
    job_enqueue(spec=spec, subject=run, user=user)
    return run


def feature_run_delete(*, run: FeatureRun) -> int:
    """Delete a run and its files; returns the bytes freed. Its features show again what the run before measured; without one
    they keep statistics and words, but lose examples.

    Runs that another's job filled become their own.
    """
    with transaction.atomic():
        jobs_require_none_active(entity=run.ENTITY, pk=run.lead_id or run.pk, name=str(run))
        for part in run.parts():
            jobs_require_none_active(entity=part.ENTITY, pk=part.pk, name=str(part))
        run.followers.update(lead=None)
        folder, earlier = run_folder(run.pk), feature_run_before(run)
        publish(run.topic)
        run.delete()
        if earlier is not None:
            _features_show(earlier)
    return artifact_remove(folder)


def feature_run_before(run: FeatureRun) -> FeatureRun | None:
    """The run that features show again once `run` is deleted; None where they do not show `run`, or there is no other."""
    if not run.features.exists():
        return None
    return FeatureRun.objects.filter(sae=run.sae_id, ready_at__isnull=False).exclude(pk=run.pk).first()


def _features_show(run: FeatureRun) -> None:
    """Write the rows anew from the run's files; where these are gone the rows stay as they are."""
    folder = run_folder(run.pk)
    try:
        with transaction.atomic():
            rows_write(run, folder, run.sae.d_sae)
            terms_write(run.sae_id, folder)
    except AppError:
        return


def run_bytes_count(*, run_id: int, coming: int) -> None:
    """Write down what a feature run takes on disk, with `coming` bytes that are about to come, or below 0 to go."""
    FeatureRun.objects.filter(pk=run_id).update(bytes=folder_bytes(run_folder(run_id)) + coming)


# one feature


@transaction.atomic
def feature_label_set(*, feature: Feature, label: str, category: str, source: str = MANUAL) -> Feature:
    """Give a feature a label and a category; empty strings take them away. `source` says who chose the words."""
    label, category = _line(label, "label", MOST_LABEL_CHARACTERS), category_path(category)
    _words_write(Feature.objects.filter(pk=feature.pk), lambda *_: (label, category), source)
    feature.refresh_from_db(fields=["label", "category", "label_source", "changed_at"])
    return feature


def feature_notes_set(*, feature: Feature, notes: str) -> Feature:
    """Replace the notes, free text of several lines."""
    notes = notes.replace("\0", "").strip()
    if len(notes) > MOST_NOTES_CHARACTERS:
        raise _too_long("notes", len(notes), MOST_NOTES_CHARACTERS)
    feature.notes = notes
    return _save(feature, "notes")


def feature_star_set(*, feature: Feature, is_starred: bool) -> Feature:
    """Put a star on a feature, or take it away."""
    feature.is_starred = is_starred
    return _save(feature, "is_starred")


@transaction.atomic
def feature_update(*, feature: Feature, **fields: Any) -> Feature:
    """Change any of label, category, notes and is_starred. AppError "spec_invalid" for other names and wrong types."""
    _require_known(fields, EDITABLE)
    if "label" in fields or "category" in fields:
        feature_label_set(
            feature=feature,
            label=fields.get("label", feature.label),
            category=fields.get("category", feature.category),
        )
    if "notes" in fields:
        feature_notes_set(feature=feature, notes=fields["notes"])
    if "is_starred" in fields:
        feature_star_set(feature=feature, is_starred=fields["is_starred"])
    return feature


EDITABLE: dict[str, type] = {"label": str, "category": str, "notes": str, "is_starred": bool}


def _require_known(fields: dict[str, Any], known: dict[str, type]) -> None:
    for name, value in fields.items():
        expected = known.get(name)
        if expected is None:
            raise AppError(
                "spec_invalid",
                f"A feature has no field {name} to change.",
                f"Known: {', '.join(known)}.",
                field=name,
            )
        if not isinstance(value, expected):
            raise AppError(
                "spec_invalid", f"{name}: {value!r} is not {TYPE_WORDS[expected]}.", "Correct the value.", field=name
            )


def _save(feature: Feature, *names: str) -> Feature:
    feature.changed_at = timezone.now()
    feature.save(update_fields=[*names, "changed_at"])
    return feature


def category_path(text: str) -> str:
    """A category as rows hold it: parts trimmed, empty ones dropped, "Emotion>positive " → "Emotion > positive"."""
    parts = (" ".join(part.split()) for part in text.replace("\0", "").split(">"))
    return _line(PATH_SEPARATOR.join(part for part in parts if part), "category", MOST_CATEGORY_CHARACTERS)


def _line(text: str, field: str, most: int) -> str:
    """One line without NULs or runs of blanks."""
    line = " ".join(text.replace("\0", "").split())
    if len(line) > most:
        raise _too_long(field, len(line), most)
    return line


def _too_long(field: str, length: int, most: int) -> AppError:
    return AppError("too_long", f"The {field} has {length:,} characters.", f"At most {most:,} fit.", field=field)


# many features


@transaction.atomic
def features_update(*, features: QuerySet[Feature], **fields: Any) -> int:
    """Give all of `features` the same label, category or is_starred; returns how many `features` are.

    AppError "spec_invalid" for other names and wrong types.
    """
    _require_known(fields, EDITABLE_TOGETHER)
    chosen = members_by_sae(features)  # before the changes, which may be what chose them
    if "label" in fields or "category" in fields:
        features_label(features=features, label=fields.get("label"), category=fields.get("category"))
    if "is_starred" in fields:
        for sae_id, members in chosen.items():
            _members_update(sae_id, members, is_starred=fields["is_starred"])
    return sum(map(len, chosen.values()))


EDITABLE_TOGETHER: dict[str, type] = {name: EDITABLE[name] for name in ("label", "category", "is_starred")}


def features_label(
    *, features: QuerySet[Feature], label: str | None = None, category: str | None = None, source: str = MANUAL
) -> int:
    """Give all of `features` a label, a category, or both; None leaves what they have. Returns how many."""
    new_label = None if label is None else _line(label, "label", MOST_LABEL_CHARACTERS)
    new_category = None if category is None else category_path(category)
    return _words_write(
        features,
        lambda old_label, old_category: (
            old_label if new_label is None else new_label,
            old_category if new_category is None else new_category,
        ),
        source,
    )


def features_star(*, features: QuerySet[Feature], is_starred: bool) -> int:
    """Put a star on all of `features`, or take theirs away; returns how many changed."""
    return features_update(features=features.filter(is_starred=not is_starred), is_starred=is_starred)


def label_rename(*, features: QuerySet[Feature], old: str, new: str) -> int:
    """Give all of `features` that are labelled `old` the label `new`; returns how many."""
    return labels_merge(features=features, labels=[old], into=new)


def labels_merge(*, features: QuerySet[Feature], labels: list[str], into: str) -> int:
    """Give all of `features` that have one of `labels` the label `into`; returns how many."""
    into = _line(into, "label", MOST_LABEL_CHARACTERS)
    if not into:
        raise AppError("label_missing", "The new label is empty.", "Write one, or clear the labels.", field="label")
    return _words_write(features.filter(label__in=labels), lambda _, category: (into, category))


def category_rename(*, features: QuerySet[Feature], old: str, new: str) -> int:
    """Rename a category with all below it: "Emotion" → "Feeling" makes "Emotion > Joy" into "Feeling > Joy"."""
    return categories_merge(features=features, categories=[old], into=new)


@transaction.atomic
def categories_merge(*, features: QuerySet[Feature], categories: list[str], into: str) -> int:
    """Put all of `features` in one of `categories`, or below one, under `into`; returns how many."""
    into = category_path(into)
    if not into:
        raise AppError("category_missing", "The new category is empty.", "Write one, or clear it.", field="category")
    changed = 0
    for old in categories:
        inside = features.filter(Q(category=old) | Q(category__startswith=f"{old}{PATH_SEPARATOR}"))
        changed += _words_write(
            inside, lambda label, now, old=old: (label, category_path(into + now.removeprefix(old)))
        )
    return changed


def labels_clear(*, features: QuerySet[Feature]) -> int:
    """Take label and category from all of `features`; returns how many. Notes and stars stay."""
    return _words_write(features, lambda *_: ("", ""))


@transaction.atomic
def _words_write(
    features: QuerySet[Feature], change: Callable[[str, str], tuple[str, str]], source: str | None = None
) -> int:
    """Label and category of all of `features` become what `change` makes of them, and the terms follow; returns how many.

    Words that change or come anew are from `source`; None leaves the source of those that had one.
    """
    bearers: dict[tuple[Any, ...], list[int]] = {}
    rows = features.select_for_update().order_by("pk").values_list("sae_id", *WORDS, "index")
    for *words, index in rows:
        bearers.setdefault(tuple(words), []).append(index)
    updates: dict[tuple[Any, ...], list[IndexSet]] = {}
    terms: dict[int, tuple[TermSets, TermSets]] = {}
    for (sae_id, *old), indices in bearers.items():
        words, members = change(old[0], old[1]), index_set(indices)
        new = (*words, (source or old[2] or MANUAL) if any(words) else "")
        changed = tuple((name, value) for name, value, was in zip(WORDS, new, old, strict=True) if value != was)
        if not changed:
            continue
        updates.setdefault((sae_id, *changed), []).append(members)
        before, after = terms_of(old[0], old[1]), terms_of(*words)
        for found, sets in zip((before - after, after - before), terms.setdefault(sae_id, ({}, {}))):
            for term in found:
                sets.setdefault(term, []).append(members)
    for (sae_id, *changed), sets in updates.items():
        _members_update(sae_id, union(sets), **dict(changed))
    for sae_id, (taken, given) in terms.items():
        word_terms_change(sae_id=sae_id, taken=taken, given=given)
    return sum(map(len, bearers.values()))


def _members_update(sae_id: int, members: IndexSet, **values: Any) -> None:
    """The same values for all of an SAE's `members`, in one statement."""
    Feature.objects.filter(within(members), sae=sae_id).update(**values, changed_at=timezone.now())
