"""`manage.py sae_list`: the SAEs with the numbers of their newest evaluation."""

from collections.abc import Iterable
from typing import Any

from apps.core.row_commands import ListCommand
from apps.saes.selectors import sae_json, sae_list


class Command(ListCommand):
    help = "List SAEs."
    columns = ("id", "name", "lm", "hook_site", "architecture", "d_sae", "l0", "fvu", "ce_recovered")

    def rows(self, query: str) -> Iterable[dict[str, Any]]:
        for sae in map(sae_json, sae_list(query=query)):
            numbers = sae["evaluation"] or {}
            newest = {name: numbers.get(name) for name in ("l0", "fvu", "ce_recovered")}
            yield {**sae, **newest, "lm": sae["language_model"]["name"]}
