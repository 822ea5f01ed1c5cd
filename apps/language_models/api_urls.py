"""/api/v1/models"""

from django.urls import path

from apps.language_models import api

urlpatterns = [
    path("", api.language_models, name="models"),
    path("/lookups", api.language_model_lookups, name="model-lookups"),
    path("/lookups/<int:pk>", api.language_model_lookup, name="model-lookup"),
    path("/<int:pk>", api.language_model, name="model"),
    path("/<int:pk>/download", api.language_model_download, name="model-download"),
    path("/<int:pk>/architecture", api.language_model_architecture, name="model-architecture"),
    path("/<int:pk>/memory", api.language_model_memory, name="model-memory"),
    path("/<int:pk>/check", api.language_model_check, name="model-check"),
    path("/<int:pk>/vocabulary", api.vocabulary_rebuild, name="model-vocabulary"),
    path("/<int:pk>/quantize", api.language_model_quantize, name="model-quantize"),
]
