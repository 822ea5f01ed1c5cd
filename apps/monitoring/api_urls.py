"""Addresses of the machine as JSON."""

from django.urls import path

from apps.monitoring import api

urlpatterns = [
    path("metrics", api.metrics, name="system-metrics"),
    path("history", api.history_view, name="system-history"),
    path("charts/<slug:name>", api.chart_view, name="system-chart"),
]
