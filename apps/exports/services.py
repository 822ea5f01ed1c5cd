"""Everything that changes exports from the web side: pack an SAE, delete an archive."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.text import slugify

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.room import room_require
from apps.core.storage import artifact_remove, data_path, folder_bytes
from apps.exports.models import Export
from apps.jobs.services import job_enqueue, jobs_require_none_active
from apps.saes.models import Sae
from workers.engine.specs.exports import ExportSpec


def export_create(*, spec: ExportSpec, user: AbstractBaseUser | None = None) -> Export:
    """Create the export and the job that packs it. AppError when the SAE does not exist, or the disk has no room."""
    sae = Sae.objects.filter(pk=spec.sae).first()
    if sae is None:
        raise AppError("sae_missing", f"There is no SAE {spec.sae}.", "Choose one from the list of SAEs.", field="sae")
    room_require(
        folder_bytes(data_path("saes", sae.pk)), "The archive", "Delete what is no longer needed.", field="sae"
    )
    with transaction.atomic():
        export = Export.objects.create(
            sae=sae, format=spec.format, file_name=archive_name(sae, spec.format), created_by=user
        )
        job_enqueue(spec=spec, subject=export, user=user)
    return export


def archive_name(sae: Sae, layout: str) -> str:
    """The archive's name, from ids and the architecture alone: "sae-12-topk-4608-saelens.zip"."""
    return f"sae-{sae.pk}-{slugify(sae.architecture)}-{sae.d_sae}-{slugify(layout)}.zip"


def export_delete(*, export: Export) -> int:
    """Delete the export and its archive; returns the bytes freed."""
    with transaction.atomic():
        jobs_require_none_active(entity=export.ENTITY, pk=export.pk, name=str(export))
        folder, topic = data_path("exports", export.pk), export.topic
        export.delete()
        publish(topic)
    return artifact_remove(folder)
