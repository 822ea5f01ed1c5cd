"""Addresses of the studio's own JSON endpoints."""

from django.urls import path

from apps.core import endpoints

urlpatterns = [
    path("openapi.json", endpoints.description, name="openapi"),
    path("settings", endpoints.settings, name="settings"),
    path("tokens", endpoints.tokens, name="tokens"),
    path("tokens/<int:pk>", endpoints.token, name="token"),
]
