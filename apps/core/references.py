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


def references_require_none(row: models.Model) -> None:
    """Refuse a deletion while other rows stand on this one: StillReferenced with their names."""
    names = [f"{other._meta.verbose_name} “{other}”" for other in references_to(row)]
    if names:
        raise StillReferenced(str(row), names)
