from django.db import migrations, models

from apps.datasets.tokenization_settings import variant_words
from workers.engine.specs.base import spec_load
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.tokenization import TokenizeSpec


def variants_fill(apps, schema_editor):
    """The settings of what was cut before, where the job is still known."""
    jobs = apps.get_model("jobs", "Job").objects.filter(kind="tokenize", subject_entity="tokenizations")
    for tokenization in apps.get_model("datasets", "Tokenization").objects.all():
        job = jobs.filter(subject_id=tokenization.pk).order_by("id").last()
        if job is None:
            continue
        try:
            tokenization.variant = variant_words(spec_load(TokenizeSpec, job.spec))
        except SpecInvalid:
            continue
        tokenization.save(update_fields=["variant"])


class Migration(migrations.Migration):
    dependencies = [
        ("datasets", "0002_look_ups_and_quantization"),
        ("jobs", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="tokenization",
            name="variant",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.RunPython(variants_fill, migrations.RunPython.noop, elidable=True),
    ]
