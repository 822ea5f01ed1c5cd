"""Terms for the features that are known already, from what their rows hold; the next feature run writes them in full."""

from django.db import migrations

from apps.features.search.index_sets import index_set
from apps.features.search.terms import terms_of, token_shown

FIRES_ON, PROMOTES = 1, 2
AT_ONCE = 500


def terms_write(apps, schema_editor):
    feature, feature_term = apps.get_model("features", "Feature"), apps.get_model("features", "FeatureTerm")
    feature.objects.filter(label_source="").exclude(label="", category="").update(label_source="manual")
    for sae_id in feature.objects.order_by().values_list("sae", flat=True).distinct():
        members = {}
        columns = ("index", "label", "category", "top_tokens", "promoted_tokens")
        for index, label, category, fires_on, promotes in feature.objects.filter(sae=sae_id).values_list(*columns).iterator():
            tokens = {(FIRES_ON, token_shown(token)) for token in fires_on.split()}
            tokens |= {(PROMOTES, token_shown(token)) for token in promotes.split()}
            for term in terms_of(label, category) | tokens:
                members.setdefault(term, []).append(index)
        feature_term.objects.bulk_create(
            [
                feature_term(sae_id=sae_id, kind=int(kind), text=text, features=index_set(indices))
                for (kind, text), indices in members.items()
            ],
            batch_size=AT_ONCE,
        )


class Migration(migrations.Migration):
    dependencies = [("features", "0003_find_features_by_terms")]
    operations = [migrations.RunPython(terms_write, migrations.RunPython.noop)]
