"""`manage.py feature_change --sae 1 --query rain --set-category Weather --star`: the same change for many features."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.errors import AppError
from apps.features.collections.services import collection_add_named
from apps.features.forms import FeatureFilterForm, add_filter_arguments
from apps.features.services import features_update
from apps.saes.selectors import sae_get


class Command(StudioCommand):
    help = "Change label, category or star of all features that the list's filter finds, or add them to a collection."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sae", type=whole, required=True, help="id of the SAE")
        parser.add_argument("--set-label", dest="label", help="a few words; empty takes the labels away")
        parser.add_argument("--set-category", dest="new_category", help='a path such as "Emotion > Positive"')
        star = parser.add_mutually_exclusive_group()
        star.add_argument("--star", dest="is_starred", action="store_true", default=None, help="put a star on each")
        star.add_argument("--no-star", dest="is_starred", action="store_false", help="take the stars away")
        parser.add_argument("--collect", help="name of the collection to add them to; made where there is none")
        add_filter_arguments(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def work(self, sae: int, **options: Any) -> None:
        found = FeatureFilterForm(options).features_asked(sae=sae_get(sae).pk)
        wanted = {"label": options["label"], "category": options["new_category"], "is_starred": options["is_starred"]}
        changes = {name: value for name, value in wanted.items() if value is not None}
        if not changes and options["collect"] is None:
            raise AppError("nothing_to_change", "Nothing is to be changed.", "Give --set-label, --star or another.")
        said: dict[str, Any] = {}
        if options["collect"] is not None:  # first: the changes may be what chose them
            collection, said["collected"] = collection_add_named(name=options["collect"], features=found)
            said["collection"] = collection.pk
        if changes:
            said["changed"] = features_update(features=found, **changes)
        words = ", ".join(f"{count:,} {name}" for name, count in said.items() if name != "collection")
        self.stdout.write(json.dumps(said) if options["json"] else f"{words}.")
