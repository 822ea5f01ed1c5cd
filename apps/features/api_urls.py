"""/api/v1/features"""

from django.urls import path

from apps.features import api
from apps.features.ablation import api as ablation
from apps.features.collections import api as collections
from apps.features.counterparts import api as counterparts
from apps.features.language import api as language
from apps.features.maps import api as maps
from apps.features.trying import api as trying

urlpatterns = [
    path("", api.features, name="features"),
    path("/<int:pk>", api.feature, name="feature"),
    path("/<int:pk>/ablation", ablation.ablation, name="feature-ablation"),
    path("/<int:pk>/counterparts", counterparts.counterparts, name="feature-counterparts"),
    path("/<int:pk>/nlp-analysis", language.nlp_analysis, name="feature-nlp-analysis"),
    path("/nlp-analysis", language.nlp_analyses, name="feature-nlp-analyses"),
    path("/nlp-analysis/<int:pk>", language.nlp_job, name="language-analysis"),
    path("/examples", api.examples, name="feature-examples"),
    path("/collections", collections.collections, name="feature-collections"),
    path("/collections/<int:pk>", collections.collection, name="feature-collection"),
    path("/collections/<int:pk>/features", collections.members, name="feature-collection-features"),
    path("/maps", maps.feature_maps, name="feature-maps"),
    path("/maps/<int:pk>", maps.feature_map, name="feature-map"),
    path("/maps/<int:pk>/points", maps.feature_map_points, name="feature-map-points"),
    path("/try", trying.try_text, name="feature-try"),
    path("/tried/<int:pk>", trying.tried_text, name="tried-text"),
    path("/extraction", api.extraction, name="feature-extraction"),
    path("/extraction/<int:pk>", api.feature_run, name="feature-run"),
]
