"""URLs below /api/v1/exports."""

from django.urls import path

from apps.exports import api

urlpatterns = [
    path("", api.exports, name="exports"),
    path("/<int:pk>", api.export, name="export"),
    path("/<int:pk>/download", api.download, name="export-download"),
]
