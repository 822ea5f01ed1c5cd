from pathlib import PurePosixPath

from django.db import migrations


def origins_shorten(apps, schema_editor):
    """Paths of the machine become the names of their files."""
    model = apps.get_model("datasets", "Dataset")
    for row in model.objects.filter(origin__startswith="/").exclude(source="hub").only("pk", "origin"):
        row.origin = PurePosixPath(row.origin).name
        row.save(update_fields=["origin"])


class Migration(migrations.Migration):
    dependencies = [
        ("datasets", "0003_tokenization_variant"),
    ]

    operations = [
        migrations.RunPython(origins_shorten, migrations.RunPython.noop),
    ]
