"""URLs below /api/v1/saes."""

from django.urls import path

from apps.saes import api

urlpatterns = [
    path("", api.saes, name="saes"),
    path("/<int:pk>", api.sae, name="sae"),
    path("/<int:pk>/evaluate", api.evaluate, name="sae-evaluate"),
]
