"""`manage.py feature_label SAE INDEX --label "rain" --category "Weather" [--json]`: give a feature its words."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.errors import AppError
from apps.features.selectors import feature_json, feature_of
from apps.features.services import feature_update
from apps.saes.selectors import sae_get


class Command(StudioCommand):
    help = "Change label, category, notes or star of a feature; what is left out stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("sae", type=whole, help="id of the SAE")
        parser.add_argument("index", type=whole, help="number of the feature, from 0")
        parser.add_argument("--label", help="a few words; empty takes the label away")
        parser.add_argument("--category", help='a path such as "Emotion > Positive"')
        parser.add_argument("--notes", help="free text")
        star = parser.add_mutually_exclusive_group()
        star.add_argument("--star", dest="is_starred", action="store_true", default=None, help="put a star on it")
        star.add_argument("--no-star", dest="is_starred", action="store_false", help="take the star away")
        parser.add_argument("--json", action="store_true", help="print the feature as one JSON object")

    def work(self, sae: int, index: int, **options: Any) -> None:
        names = ("label", "category", "notes", "is_starred")
        wanted = {name: options[name] for name in names if options[name] is not None}
        feature = feature_of(sae_get(sae), index)
        if feature is None:
            raise AppError("no_feature_run", "This SAE has no feature run yet.", "Start one with feature_run.")
        feature_update(feature=feature, **wanted)
        if options["json"]:
            self.stdout.write(json.dumps(feature_json(feature)))
        else:
            words = " · ".join(part for part in (feature.label, feature.category) if part) or "no words"
            self.stdout.write(f"Feature {feature.index} of {feature.sae}: {words}")
