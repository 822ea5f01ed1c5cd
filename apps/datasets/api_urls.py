"""/api/v1/datasets"""

from django.urls import path

from apps.datasets import api, tokenization_api

urlpatterns = [
    path("", api.datasets, name="datasets"),
    path("/lookups", api.dataset_lookups, name="dataset-lookups"),
    path("/lookups/<int:pk>", api.dataset_lookup, name="dataset-lookup"),
    path("/<int:pk>", api.dataset, name="dataset"),
    path("/<int:pk>/download", api.dataset_download, name="dataset-download"),
    path("/<int:pk>/tokenize", tokenization_api.dataset_tokenize, name="dataset-tokenize"),
    path("/<int:pk>/tokenizations", tokenization_api.dataset_tokenizations, name="dataset-tokenizations"),
    path("/<int:pk>/statistics", tokenization_api.dataset_statistics_view, name="dataset-statistics"),
    path("/<int:pk>/samples", api.dataset_samples, name="dataset-samples"),
    path("/<int:pk>/preview", tokenization_api.dataset_preview, name="dataset-preview"),
    path("/tokenizations/<int:pk>", tokenization_api.tokenization, name="dataset-tokenization"),
]
