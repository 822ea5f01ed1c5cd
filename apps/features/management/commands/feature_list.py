"""`manage.py feature_list --sae 1 --query weather --sort density [--json]`: features by words and numbers."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.features.forms import FeatureFilterForm, add_filter_arguments
from apps.features.selectors import FoundFeatures, feature_json
from apps.saes.selectors import sae_get


class Command(StudioCommand):
    help = "List features of an SAE, searched, filtered and sorted as on its page."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sae", type=whole, required=True, help="id of the SAE")
        add_filter_arguments(parser)
        parser.add_argument("--limit", type=whole, default=50, help="at most so many (default 50)")
        parser.add_argument("--json", action="store_true", help="print one JSON list")

    def work(self, sae: int, limit: int, **options: Any) -> None:
        found = FeatureFilterForm(options).features_asked(sae=sae_get(sae).pk)
        found = FoundFeatures(found)[: max(0, limit)]
        if options["json"]:
            self.stdout.write(json.dumps([feature_json(feature) for feature in found]))
            return
        for feature in found:
            words = feature.name[:60]
            self.stdout.write(f"{feature.index:>7}  {100 * feature.density:8.4f} %  {feature.maximum:9.3f}  {words}")
