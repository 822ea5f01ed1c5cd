from django.db import migrations


def members_create(apps, schema_editor):
    """Every run so far trained one SAE on a cache: it becomes the run's only member, and the points are its own."""
    TrainingRun = apps.get_model("training", "TrainingRun")
    RunMember = apps.get_model("training", "RunMember")
    MetricPoint = apps.get_model("training", "MetricPoint")
    Checkpoint = apps.get_model("training", "Checkpoint")
    for run in TrainingRun.objects.select_related("activation_cache"):
        cache = run.activation_cache
        sparsity = run.spec.get("k", 32) if run.architecture == "topk" else run.spec.get("l1_coefficient", 1.0)
        member = RunMember.objects.create(
            run=run,
            index=0,
            layer=cache.layer,
            site=cache.site,
            architecture=run.architecture,
            d_sae=run.d_sae,
            sparsity=sparsity,
            seed=run.spec.get("seed", 0),
            loss=run.loss,
            fvu=run.fvu,
            l0=run.l0,
            dead_share=run.dead_share,
        )
        MetricPoint.objects.filter(run=run).update(member=member)
        run.language_model_id, run.tokenization_id = cache.language_model_id, cache.tokenization_id
        run.save(update_fields=["language_model", "tokenization"])
    for checkpoint in Checkpoint.objects.all():
        checkpoint.values = {"0": checkpoint.values}
        checkpoint.save(update_fields=["values"])


class Migration(migrations.Migration):
    dependencies = [("training", "0002_members")]

    operations = [migrations.RunPython(members_create, migrations.RunPython.noop)]
