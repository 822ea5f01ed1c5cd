"""/api/v1/features"""

from django.urls import path

from apps.features import api

urlpatterns = [
    path("", api.features, name="features"),
    path("/<int:pk>", api.feature, name="feature"),
    path("/<int:pk>/ablation", api.ablation, name="feature-ablation"),
    path("/<int:pk>/counterparts", api.counterparts, name="feature-counterparts"),
    path("/examples", api.examples, name="feature-examples"),
    path("/maps", api.feature_maps, name="feature-maps"),
    path("/maps/<int:pk>", api.feature_map, name="feature-map"),
    path("/maps/<int:pk>/points", api.feature_map_points, name="feature-map-points"),
    path("/try", api.try_text, name="feature-try"),
    path("/tried/<int:pk>", api.tried_text, name="tried-text"),
    path("/extraction", api.extraction, name="feature-extraction"),
    path("/extraction/<int:pk>", api.feature_run, name="feature-run"),
]
