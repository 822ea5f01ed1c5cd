"""Writes about texts that are tried: queuing one to be read, and forgetting it."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.selectors import row_of
from apps.features.models import TriedText
from apps.jobs.services import job_enqueue, jobs_require_none_active, passing_subjects_delete
from apps.saes.models import Sae
from workers.engine.specs.try_text import TryTextSpec


def text_try(*, spec: TryTextSpec, user: AbstractBaseUser | None = None) -> TriedText:
    """Write the row of a text to be read and queue its job. Those older than a day go."""
    sae = row_of(Sae.objects, "SAE", spec.sae)
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
