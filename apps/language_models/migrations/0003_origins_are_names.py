from pathlib import PurePosixPath

from django.db import migrations


def origins_shorten(apps, schema_editor):
    """Paths of the machine become the names of their files."""
    model = apps.get_model("language_models", "LanguageModel")
    for row in model.objects.filter(origin__startswith="/").exclude(source="hub").only("pk", "origin"):
        row.origin = PurePosixPath(row.origin).name
        row.save(update_fields=["origin"])


class Migration(migrations.Migration):
    dependencies = [
        ("language_models", "0002_look_ups_and_quantization"),
    ]

    operations = [
        migrations.RunPython(origins_shorten, migrations.RunPython.noop),
    ]
