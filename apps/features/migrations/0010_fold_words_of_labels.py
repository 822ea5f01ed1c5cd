"""Words of labels and categories are looked up folded: those with letters beyond ASCII are written anew."""

from django.db import migrations

from apps.features.search.index_sets import index_set
from apps.features.search.terms import terms_of

WORD, CATEGORY = 3, 4
AT_ONCE = 500


def words_fold(apps, schema_editor):
    feature, feature_term = apps.get_model("features", "Feature"), apps.get_model("features", "FeatureTerm")
    named = feature.objects.exclude(label="", category="")
    for sae_id in named.order_by().values_list("sae", flat=True).distinct():
        words = list(named.filter(sae=sae_id).values_list("index", "label", "category"))
        if all(label.isascii() and category.isascii() for _, label, category in words):
            continue
        members = {}
        for index, label, category in words:
            for term in terms_of(label, category):
                members.setdefault(term, []).append(index)
        feature_term.objects.filter(sae=sae_id, kind__in=(WORD, CATEGORY)).delete()
        feature_term.objects.bulk_create(
            [
                feature_term(sae_id=sae_id, kind=int(kind), text=text, features=index_set(indices))
                for (kind, text), indices in members.items()
            ],
            batch_size=AT_ONCE,
        )


class Migration(migrations.Migration):
    dependencies = [("features", "0009_feature_map")]
    operations = [migrations.RunPython(words_fold, migrations.RunPython.noop)]
