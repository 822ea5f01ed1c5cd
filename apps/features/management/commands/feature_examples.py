"""`manage.py feature_examples --sae 1 --format csv --output examples.csv`: features with their examples in one file."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.csv_tables import add_spreadsheet_argument
from apps.features.example_export import FORMATS, examples_exported
from apps.features.forms import FeatureFilterForm, add_filter_arguments
from apps.saes.selectors import sae_get


class Command(StudioCommand):
    help = "Write features and their examples as JSON or CSV, filtered as the list is; without --output to the screen."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sae", type=whole, required=True, help="id of the SAE")
        parser.add_argument("--format", choices=list(FORMATS), default="json")
        parser.add_argument("--output", help="file to write")
        add_spreadsheet_argument(parser)
        add_filter_arguments(parser)

    def work(self, sae: int, format: str, output: str | None, spreadsheet: bool, **options: Any) -> None:
        found = FeatureFilterForm(options).features_asked(sae=sae_get(sae).pk)
        pieces = examples_exported(found, format, for_spreadsheet=spreadsheet)
        if output is None:
            for piece in pieces:
                self.stdout.write(piece, ending="")
            return
        with Path(output).open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
        self.stdout.write(f"{found.count():,} features are in {output}.")
