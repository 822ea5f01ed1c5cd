"""What stands on a row: the rows whose foreign key forbids its deletion."""

from django.db import models
from django.db.models import PROTECT

from apps.core.errors import StillReferenced


def references_to(row: models.Model) -> list[models.Model]:
    """All rows that refer to `row` by a PROTECT key, in any app."""
    return [
        other
        for relation in row._meta.related_objects
        if relation.on_delete is PROTECT
        for other in relation.related_model._default_manager.filter(**{relation.field.name: row})
    ]


def reference_words(row: models.Model) -> str:
    """A row by kind, number and name, for many have the same name: "training run 7 “TopK 4608 k=32”"."""
    return f"{row._meta.verbose_name} {row.pk} “{row}”"


def references_require_none(row: models.Model) -> None:
    """Refuse a deletion while other rows stand on this one: StillReferenced with their names."""
    names = [reference_words(other) for other in references_to(row)]
    if names:
        raise StillReferenced(str(row), names)
