"""Samples of the machines: a ring of one hour."""

from django.db import models


class Sample(models.Model):
    """One reading of one host; `values` is `engine.monitor`'s Reading as JSON."""

    host = models.CharField(max_length=120)
    at = models.DateTimeField(db_index=True)
    values = models.JSONField()

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.host} {self.at:%H:%M:%S}"
