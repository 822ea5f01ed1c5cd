"""Exports with a real small SAE behind them."""

import json

from apps.core.storage import data_path
from apps.exports.models import Export
from apps.exports.services import export_create
from apps.saes.models import Sae
from tests.apps.training.worlds import sae_make
from tests.engine.saes.worlds import random_sae
from workers.engine.formats.saelens import sae_write
from workers.engine.specs.exports import ExportSpec


def real_sae_make() -> Sae:
    """An SAE whose folder SAELens could load."""
    sae = sae_make()
    folder = data_path("saes", sae.pk)
    sae_write(random_sae(), folder, metadata={"model_name": "owner/tiny"})
    (folder / "provenance.json").write_text(json.dumps({"device": "cpu"}))
    return sae


def export_make(sae: Sae | None = None) -> Export:
    """A queued export."""
    return export_create(spec=ExportSpec(sae=(sae or sae_make()).pk))
