"""Live fragments of exports: the state in the list. The page of one asks for itself anew when it is packed."""

from django.template.loader import render_to_string

from apps.core.asking import row_or_none
from apps.core.live.rendering import renders
from apps.core.live.topics import EXPORTS
from apps.exports.models import Export
from apps.exports.selectors import export_list


@renders(EXPORTS)
def render(pk: str) -> str | None:
    """exports/<id>; None when it is gone."""
    export: Export | None = row_or_none(export_list(), pk)
    return None if export is None else render_to_string("exports/list.html#state", {"export": export})
