"""Addresses of presets as JSON; none yet."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
