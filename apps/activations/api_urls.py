"""/api/v1/activations"""

from django.urls import path

from apps.activations import api

urlpatterns = [
    path("", api.activation_caches, name="activations"),
    path("/<int:pk>", api.activation_cache, name="activation"),
]
