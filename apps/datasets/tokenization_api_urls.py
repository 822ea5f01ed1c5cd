"""/api/v1/tokenizations/ and /api/v1/previews/"""

from django.urls import path

from apps.datasets import tokenization_api

urlpatterns = [
    path("tokenizations/<int:pk>", tokenization_api.tokenization, name="tokenization"),
    path("tokenizations/<int:pk>/statistics", tokenization_api.tokenization_statistics, name="tokenization-statistics"),
    path("tokenizations/<int:pk>/dropped", tokenization_api.tokenization_dropped, name="tokenization-dropped"),
    path("previews/<int:pk>", tokenization_api.preview, name="token-preview"),
]
