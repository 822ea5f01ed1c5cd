"""All URLs: pages by app, the JSON endpoints under /api/v1/, the admin."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.autodiscover()

PAGES = [
    path("", include("apps.home.urls")),
    path("", include("apps.core.urls")),
    path("jobs/", include("apps.jobs.urls")),
    path("presets/", include("apps.presets.urls")),
    path("system/", include("apps.monitoring.urls")),
    path("language-models/", include("apps.language_models.urls")),
    path("datasets/", include("apps.datasets.urls")),
    path("activations/", include("apps.activations.urls")),
    path("training/", include("apps.training.urls")),
    path("saes/", include("apps.saes.urls")),
    path("features/", include("apps.features.urls")),
    path("steering/", include("apps.steering.urls")),
    path("exports/", include("apps.exports.urls")),
]

API = [
    path("", include("apps.core.api_urls")),
    path("jobs", include("apps.jobs.api_urls")),
    path("presets", include("apps.presets.api_urls")),
    path("system/", include("apps.monitoring.api_urls")),
    path("models", include("apps.language_models.api_urls")),
    path("datasets", include("apps.datasets.api_urls")),
    path("", include("apps.datasets.tokenization_api_urls")),
    path("activations", include("apps.activations.api_urls")),
    path("trainings", include("apps.training.api_urls")),
    path("saes", include("apps.saes.api_urls")),
    path("features", include("apps.features.api_urls")),
    path("steering/", include("apps.steering.api_urls")),
    path("exports", include("apps.exports.api_urls")),
]

handler400 = "apps.core.middleware.bad_request"

urlpatterns = [
    *PAGES,
    path("api/v1/", include((API, "api"))),
    # The admin's own form checks the old password without counting guesses.
    path("admin/password_change/", RedirectView.as_view(pattern_name="core:settings")),
    path("admin/", admin.site.urls),
]
