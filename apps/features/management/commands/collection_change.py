"""`manage.py collection_change ID --name "weather"`: another name or note for a collection, or its end."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.features.collections.selectors import collection_get, collection_json
from apps.features.collections.services import collection_change, collection_delete, collection_remove
from apps.features.forms import FeatureFilterForm
from apps.saes.selectors import sae_get


class Command(StudioCommand):
    help = "Rename a collection, change its note, take features out of it, or delete it; its features stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=whole)
        parser.add_argument("--name")
        parser.add_argument("--note")
        parser.add_argument("--take-out", metavar="NUMBERS", help="features such as 3,10-12, together with --sae")
        parser.add_argument("--sae", type=whole, help="the SAE of the features to take out")
        parser.add_argument("--delete", action="store_true", help="delete the collection")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def work(self, id: int, **options: Any) -> None:
        collection = collection_get(id)
        if options["delete"]:
            collection_delete(collection=collection)
            self.stdout.write(json.dumps({"deleted": id}) if options["json"] else f"{collection} was deleted.")
            return
        if options["take_out"]:
            form = FeatureFilterForm({"features": options["take_out"]})
            collection_remove(collection=collection, features=form.features_asked(sae=sae_get(options["sae"] or 0).pk))
        if options["name"] is not None or options["note"] is not None:
            collection_change(collection=collection, name=options["name"], note=options["note"])
        about = collection_json(collection_get(id))
        self.stdout.write(json.dumps(about) if options["json"] else f"{about['name']}: {about['features']:,} features")
