

import apps.features.search.index_sets
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('features', '0002_what_runs_measure'),
        ('saes', '0002_member'),
    ]

    operations = [
        migrations.CreateModel(
            name='FeatureTerm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.PositiveSmallIntegerField(choices=[(1, 'token at which a feature fires'), (2, 'token whose logit it raises'), (3, 'word of its label or category'), (4, 'category that it lies in or below')])),
                ('text', models.CharField(max_length=200)),
                ('features', apps.features.search.index_sets.IndexSetField()),
            ],
        ),
        migrations.RemoveIndex(
            model_name='feature',
            name='feature_density',
        ),
        migrations.RemoveIndex(
            model_name='feature',
            name='feature_maximum',
        ),
        migrations.RemoveIndex(
            model_name='feature',
            name='feature_score',
        ),
        migrations.AlterField(
            model_name='feature',
            name='sae',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='features', to='saes.sae'),
        ),
        migrations.AddIndex(
            model_name='feature',
            index=models.Index(fields=['sae', 'index', 'density', 'mean', 'maximum', 'firings', 'consistency', 'concentration', 'agreement', 'score', 'is_starred', 'label_source'], name='feature_numbers'),
        ),
        migrations.AddIndex(
            model_name='feature',
            index=models.Index(condition=models.Q(('notes', ''), _negated=True), fields=['sae', 'index'], name='feature_noted'),
        ),
        migrations.AddField(
            model_name='featureterm',
            name='sae',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='saes.sae'),
        ),
        migrations.AddConstraint(
            model_name='featureterm',
            constraint=models.UniqueConstraint(fields=('sae', 'kind', 'text'), name='one_term', opclasses=['int8_ops', 'int2_ops', 'varchar_pattern_ops']),
        ),
    ]
