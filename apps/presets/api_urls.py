"""/api/v1/presets"""

from django.urls import path

from apps.presets import api

urlpatterns = [
    path("", api.preset_kinds, name="preset-kinds"),
    path("/<str:kind>", api.presets, name="presets"),
    path("/<str:kind>/import", api.presets_import, name="presets-import"),
    path("/<str:kind>/export", api.presets_export, name="presets-export"),
    path("/<str:kind>/<int:pk>", api.preset, name="preset"),
    path("/<str:kind>/<int:pk>/favourite", api.preset_favourite, name="preset-favourite"),
    path("/<str:kind>/<int:pk>/clone", api.preset_clone, name="preset-clone"),
    path("/<str:kind>/<int:pk>/use", api.preset_use, name="preset-use"),
    path("/<str:kind>/<int:pk>/diff", api.preset_diff, name="preset-diff"),
    path("/<str:kind>/<int:pk>/export", api.preset_export, name="preset-export"),
]
