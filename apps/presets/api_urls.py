"""/api/v1/presets"""

from django.urls import path

from apps.presets import api

urlpatterns = [
    path("", api.preset_kinds, name="preset-kinds"),
    path("/<slug:kind>", api.presets, name="presets"),
    path("/<slug:kind>/import", api.presets_import, name="presets-import"),
    path("/<slug:kind>/export", api.presets_export, name="presets-export"),
    path("/<slug:kind>/<int:pk>", api.preset, name="preset"),
    path("/<slug:kind>/<int:pk>/favourite", api.preset_favourite, name="preset-favourite"),
    path("/<slug:kind>/<int:pk>/clone", api.preset_clone, name="preset-clone"),
    path("/<slug:kind>/<int:pk>/use", api.preset_use, name="preset-use"),
    path("/<slug:kind>/<int:pk>/diff", api.preset_diff, name="preset-diff"),
    path("/<slug:kind>/<int:pk>/export", api.preset_export, name="preset-export"),
]
