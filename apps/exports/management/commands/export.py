"""`manage.py export`: pack an SAE as one archive."""

from apps.exports.services import export_create
from apps.jobs.commands import SpecCommand
from apps.jobs.models import Job
from workers.engine.specs.exports import ExportSpec


class Command(SpecCommand):
    help = "Pack an SAE for others as one zip file below DATA_DIR/exports."
    spec_class = ExportSpec

    def start(self, spec: ExportSpec) -> Job:
        return export_create(spec=spec).job
