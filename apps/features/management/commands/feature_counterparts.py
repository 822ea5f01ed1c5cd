"""`manage.py feature_counterparts SAE INDEX [--most N] [--json]`: the same feature in other SAEs of the language model."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.errors import NotFound
from apps.features.counterparts.selectors import LISTED, counterparts_json, counterparts_of
from apps.saes.selectors import sae_get


class Command(StudioCommand):
    help = "List the features of other SAEs whose decoder rows point the same way."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("sae", type=whole, help="id of the SAE")
        parser.add_argument("index", type=whole, help="number of the feature, from 0")
        parser.add_argument("--most", type=whole, default=LISTED, help=f"features of each SAE (default {LISTED})")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def work(self, sae: int, index: int, most: int, **options: Any) -> None:
        own = sae_get(sae)
        if not 0 <= index < own.d_sae:
            raise NotFound("feature", index)
        found = counterparts_of(own, index, listed=max(1, most))
        if options["json"]:
            self.stdout.write(json.dumps(counterparts_json(found)))
            return
        for other in found.others:
            place = "same hook site" if other.is_same_site else f"another site, {other.site}"
            self.stdout.write(f"{other.sae} (SAE {other.sae.pk}), {place}; by chance {other.chance:.2f}")
            for row in other.rows:
                words = row.feature.name if row.feature else "(no feature run)"
                self.stdout.write(f"{row.index:>7}  {row.cosine:5.2f}  {words}")
            if other.trouble:
                self.stdout.write(f"         {other.trouble}")
        if not found.others:
            self.stdout.write("No other SAE can be compared.")
        if found.left_out:
            self.stdout.write(f"{found.left_out} SAEs further away were not compared.")
