"""`manage.py language_model_show ID`: one language model with its memory in each quantization."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.core.templatetags.studio import bytes_words
from apps.jobs.subjects import with_job
from apps.language_models.fit import ModelShape, fits_json, quantization_fits
from apps.language_models.generation_settings import generation_settings
from apps.language_models.selectors import language_model_get, language_model_json


class Command(StudioCommand):
    help = "Show a language model: its numbers, its job, and how each quantization fits this machine."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=whole)
        parser.add_argument("--json", action="store_true", help="print one object")

    def work(self, **options: Any) -> None:
        language_model = language_model_get(options["id"])
        shown = with_job(language_model_json(language_model), language_model)
        shown["generation_config"] = generation_settings(language_model)
        if language_model.is_ready:
            shown["fits"] = fits_json(quantization_fits(ModelShape.from_report(language_model.report)))
        if options["json"]:
            self.stdout.write(json.dumps(shown))
            return
        fits = shown.pop("fits", [])
        for name, value in shown.items():
            self.stdout.write(f"{name:18} {value}")
        for line in fits:
            words = [f"{fit['device']} {fit['fit']} ({bytes_words(fit['total_bytes'])})" for fit in line["devices"]]
            self.stdout.write(f"{line['quantization']:18} {', '.join(words)}")
