"""`manage.py feature_show SAE INDEX [--json]`: one feature with its statistics, logit lists and strongest examples."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.errors import AppError
from apps.features.models import Feature
from apps.features.selectors import feature_evidence_json, feature_json, feature_of
from apps.saes.selectors import sae_get
from workers.engine.text.decoding import visible


class Command(StudioCommand):
    help = "Show one feature of an SAE."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("sae", type=whole, help="id of the SAE")
        parser.add_argument("index", type=whole, help="number of the feature, from 0")
        parser.add_argument("--examples", type=whole, default=5, help="strongest examples to print (default 5)")
        parser.add_argument("--json", action="store_true", help="print one JSON object with all examples")

    def work(self, sae: int, index: int, examples: int, **options: Any) -> None:
        feature = feature_of(sae_get(sae), index)
        if feature is None:
            raise AppError("no_feature_run", "This SAE has no feature run yet.", "Start one with feature_run.")
        found = {**feature_json(feature), **feature_evidence_json(feature)}
        if options["json"]:
            self.stdout.write(json.dumps(found))
        else:
            self._print(feature, found, examples)

    def _print(self, feature: Feature, found: dict[str, Any], most: int) -> None:
        self.stdout.write(f"Feature {feature.index} of {feature.sae}: {feature.label or '(no label)'}")
        if feature.category:
            self.stdout.write(f"  category    {feature.category}")
        self.stdout.write(f"  density     {100 * feature.density:.4g} %, {feature.firings:,} firings")
        self.stdout.write(f"  maximum     {feature.maximum:.4g}, mean of positive activations {feature.mean:.4g}")
        self.stdout.write(f"  readability {feature.score:.2f} from 0 to 1")
        self.stdout.write(f"  peaks on    {feature.auto_name or '–'}")
        self.stdout.write(f"  gloss       {feature.gloss or '–'}")
        for name in ("promoted", "suppressed") if found["logits"] else ():
            words = " ".join(visible(token["text"]) for token in found["logits"][name])
            self.stdout.write(f"  {name:<11} {words}")
        for group in found["examples"][:1]:
            for example in group["examples"][:most]:
                text = visible("".join(example["texts"]))
                self.stdout.write(f"  {example['peak_value']:9.3f}  {text}")
