"""`manage.py tokenization_show ID`: a tokenization's account of tokens, dropped rows and most frequent tokens."""

import json
from typing import Any

from django.core.management.base import CommandParser

from apps.core.arguments import whole
from apps.core.commands import StudioCommand
from apps.datasets.tokenization_account import tokenization_account
from apps.datasets.tokenization_selectors import tokenization_json, tokenization_ready
from apps.datasets.tokenization_statistics import statistics_json


class Command(StudioCommand):
    help = "Show what a tokenization made of its dataset."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=whole)
        parser.add_argument("--json", action="store_true", help="print one object, with all statistics")

    def work(self, **options: Any) -> None:
        tokenization = tokenization_ready(options["id"])
        statistics = statistics_json(tokenization)
        if options["json"]:
            shown = {**tokenization_json(tokenization), "report": tokenization.report, **statistics}
            self.stdout.write(json.dumps(shown))
            return
        account = tokenization_account(tokenization)
        self.stdout.write(f"{tokenization}: {tokenization.contexts:,} + {tokenization.heldout_contexts:,} contexts")
        for line in account["account"]:
            self.stdout.write(f"  {line.sign or ' '} {line.tokens:>14,}  {line.words}")
        for group in account["dropped"]:
            self.stdout.write(f"  {group.rows:>16,}  rows dropped: {group.words}")
        self.stdout.write(f"  {account['coverage']:.1%} of the vocabulary, {account['distinct_words']}")
        if statistics["duplicate_share"] is not None:
            self.stdout.write(f"  {statistics['duplicate_share']:.1%} of the documents are duplicates")
        for token in statistics["top_tokens"] or []:
            self.stdout.write(f"  {token['rank']:>3}  {token['share']:>6.2%}  {token['text']}")
