"""/api/v1/features"""

from django.urls import path

from apps.features import api, collection_api

urlpatterns = [
    path("", api.features, name="features"),
    path("/<int:pk>", api.feature, name="feature"),
    path("/<int:pk>/ablation", api.ablation, name="feature-ablation"),
    path("/<int:pk>/counterparts", api.counterparts, name="feature-counterparts"),
    path("/<int:pk>/nlp-analysis", api.nlp_analysis, name="feature-nlp-analysis"),
    path("/nlp-analysis", api.nlp_analyses, name="feature-nlp-analyses"),
    path("/nlp-analysis/<int:pk>", api.nlp_job, name="language-analysis"),
    path("/examples", api.examples, name="feature-examples"),
    path("/collections", collection_api.collections, name="feature-collections"),
    path("/collections/<int:pk>", collection_api.collection, name="feature-collection"),
    path("/collections/<int:pk>/features", collection_api.members, name="feature-collection-features"),
    path("/maps", api.feature_maps, name="feature-maps"),
    path("/maps/<int:pk>", api.feature_map, name="feature-map"),
    path("/maps/<int:pk>/points", api.feature_map_points, name="feature-map-points"),
    path("/try", api.try_text, name="feature-try"),
    path("/tried/<int:pk>", api.tried_text, name="tried-text"),
    path("/extraction", api.extraction, name="feature-extraction"),
    path("/extraction/<int:pk>", api.feature_run, name="feature-run"),
]
