"""Writes about features: starting a feature run, and the words people give to features.

Statistics belong to runs, words to people: nothing here changes a number, and no run changes a word.
"""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.core.errors import AppError, NotFound
from apps.core.live.publishing import publish
from apps.core.storage import artifact_remove, data_path
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_selectors import tokenization_ready
from apps.features.models import Feature, FeatureRun, TriedText
from apps.jobs.models import Job
from apps.jobs.services import job_enqueue, jobs_require_none_active, passing_subjects_delete
from apps.jobs.states import ACTIVE
from apps.saes.models import Sae
from workers.engine.specs.features import FeatureRunSpec
from workers.engine.specs.try_text import TryTextSpec

PATH_SEPARATOR = " > "
"""Between the parts of a category: "Emotion > Positive"."""
MOST_LABEL_CHARACTERS = 300
MOST_CATEGORY_CHARACTERS = 200
MOST_NOTES_CHARACTERS = 20_000


# runs


@transaction.atomic
def feature_run_start(*, spec: FeatureRunSpec, user: AbstractBaseUser | None = None) -> FeatureRun:
    """Write a run for each SAE and queue the job that fills them; returns the first. All SAEs must read one language model,
    and the tokenization be cut by its own tokenizer."""
    saes = Sae.objects.select_related("language_model").in_bulk(spec.saes)
    for pk in spec.saes:
        if pk not in saes:
            raise NotFound("SAE", pk)
    first, tokenization = saes[spec.sae], tokenization_ready(spec.tokenization)
    _require_own_tokenizer(first, tokenization)
    for sae in saes.values():
        _require_same_model(first, sae)
        _require_no_active_run(sae)
    run = FeatureRun.objects.create(sae=first, tokenization=tokenization, created_by=user)
    for pk in spec.more_saes:
        FeatureRun.objects.create(sae=saes[pk], tokenization=tokenization, created_by=user, lead=run)
    job_enqueue(spec=spec, subject=run, user=user)
    return run


def _require_same_model(first: Sae, sae: Sae) -> None:
    if sae.language_model_id != first.language_model_id:
        raise AppError(
            "model_differs",
            f"{sae} reads {sae.language_model}, but {first} reads {first.language_model}.",
            "SAEs that share a pass read one language model.",
            field="more_saes",
        )


def _require_own_tokenizer(sae: Sae, tokenization: Tokenization) -> None:
    model = sae.language_model
    is_own = tokenization.language_model_id == model.pk
    is_same = bool(model.tokenizer_sha256) and tokenization.tokenizer_sha256 == model.tokenizer_sha256
    if not (is_own or is_same):
        raise AppError(
            "tokenizer_differs",
            f"{tokenization} was cut by the tokenizer of {tokenization.language_model}, but {sae} reads {model}.",
            f"Tokenize {tokenization.dataset} with the tokenizer of {model}.",
            field="tokenization",
        )


def _require_no_active_run(sae: Sae) -> None:
    runs = FeatureRun.objects.filter(sae=sae).values(job_of=Coalesce("lead", "pk"))
    active = Job.objects.filter(subject_entity=FeatureRun.ENTITY, subject_id__in=runs, state__in=ACTIVE).first()
    if active is not None:
        raise AppError(
            "already_active", f"Job {active.pk} already finds the features of {sae}.", "Wait for it.", status=409
        )


def feature_run_delete(*, run: FeatureRun) -> int:
    """Delete a run and its files; returns the bytes freed. Features keep statistics and words, but lose examples.

    Runs that another's job filled become their own.
    """
    with transaction.atomic():
        jobs_require_none_active(entity=run.ENTITY, pk=run.lead_id or run.pk, name=str(run))
        for ablation in run.ablations.select_related("feature__sae"):
            jobs_require_none_active(entity=ablation.ENTITY, pk=ablation.pk, name=str(ablation))
        run.followers.update(lead=None)
        folder = data_path("features", run.pk)
        publish(run.topic)
        run.delete()
    return artifact_remove(folder)


# texts to try


def text_try(*, spec: TryTextSpec, user: AbstractBaseUser | None = None) -> TriedText:
    """Write the row of a text to be read and queue its job. Those older than a day go."""
    sae = Sae.objects.filter(pk=spec.sae).first()
    if sae is None:
        raise NotFound("SAE", spec.sae)
    with transaction.atomic():
        passing_subjects_delete(TriedText.objects.all())
        tried = TriedText.objects.create(sae=sae, text=spec.text, other=spec.other, created_by=user)
        job_enqueue(spec=spec, subject=tried, user=user)
    return tried


def tried_text_delete(*, tried: TriedText) -> int:
    """Forget a text that was tried; nothing lies on disk."""
    with transaction.atomic():
        jobs_require_none_active(entity=tried.ENTITY, pk=tried.pk, name=str(tried))
        tried.delete()
    return 0


# one feature


def feature_label_set(*, feature: Feature, label: str, category: str, source: str = "manual") -> Feature:
    """Give a feature a label and a category; empty strings take them away. `source` says who chose the words."""
    feature.label = _line(label, "label", MOST_LABEL_CHARACTERS)
    feature.category = category_path(category)
    feature.label_source = source if feature.label or feature.category else ""
    return _save(feature, "label", "category", "label_source")


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
    for name, value in fields.items():
        expected = EDITABLE.get(name)
        if expected is None:
            raise AppError(
                "spec_invalid",
                f"A feature has no field {name} to change.",
                f"Known: {', '.join(EDITABLE)}.",
                field=name,
            )
        if not isinstance(value, expected):
            raise AppError(
                "spec_invalid", f"{name}: {value!r} is not a {expected.__name__}.", "Correct the value.", field=name
            )
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


def label_rename(*, features: QuerySet[Feature], old: str, new: str) -> int:
    """Give all of `features` that are labelled `old` the label `new`; returns how many."""
    return labels_merge(features=features, labels=[old], into=new)


def labels_merge(*, features: QuerySet[Feature], labels: list[str], into: str) -> int:
    """Give all of `features` that have one of `labels` the label `into`; returns how many."""
    into = _line(into, "label", MOST_LABEL_CHARACTERS)
    if not into:
        raise AppError("label_missing", "The new label is empty.", "Write one, or clear the labels.", field="label")
    return features.filter(label__in=labels).update(label=into, changed_at=timezone.now())


def category_rename(*, features: QuerySet[Feature], old: str, new: str) -> int:
    """Rename a category with all below it: "Emotion" → "Feeling" makes "Emotion > Joy" into "Feeling > Joy"."""
    return categories_merge(features=features, categories=[old], into=new)


@transaction.atomic
def categories_merge(*, features: QuerySet[Feature], categories: list[str], into: str) -> int:
    """Put all of `features` in one of `categories`, or below one, under `into`; returns how many."""
    into = category_path(into)
    if not into:
        raise AppError("category_missing", "The new category is empty.", "Write one, or clear it.", field="category")
    changed = []
    for old in categories:
        inside = Q(category=old) | Q(category__startswith=f"{old}{PATH_SEPARATOR}")
        for feature in features.filter(inside):
            feature.category = category_path(into + feature.category.removeprefix(old))
            feature.changed_at = timezone.now()
            changed.append(feature)
    Feature.objects.bulk_update(changed, ["category", "changed_at"], batch_size=500)
    return len(changed)


def labels_clear(*, features: QuerySet[Feature]) -> int:
    """Take label and category from all of `features`; returns how many. Notes and stars stay."""
    return features.update(label="", category="", label_source="", changed_at=timezone.now())
