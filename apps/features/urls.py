"""URLs of the feature pages."""

from django.urls import path

from apps.features import ablation_views, counterpart_views, map_views, try_views, views

app_name = "features"
urlpatterns = [
    path("", views.feature_run_list_page, name="index"),
    path("new/", views.feature_run_new, name="new"),
    path("try/", try_views.try_page, name="try"),
    path("runs/<int:pk>/delete/", views.feature_run_remove, name="run-delete"),
    path("sae/<int:sae_id>/", views.feature_list_page, name="list"),
    path("sae/<int:sae_id>/overview/", views.feature_overview, name="overview"),
    path("sae/<int:sae_id>/map/", map_views.map_page, name="map"),
    path("maps/<int:pk>/delete/", map_views.map_remove, name="map-delete"),
    path("sae/<int:sae_id>/selected/", views.feature_selected, name="selected"),
    path("sae/<int:sae_id>/random/", views.feature_random_page, name="random"),
    path("sae/<int:sae_id>/go/", views.feature_go, name="go"),
    path("sae/<int:sae_id>/<int:index>/", views.feature_page, name="detail"),
    path("sae/<int:sae_id>/<int:index>/words/", views.feature_words, name="words"),
    path("sae/<int:sae_id>/<int:index>/notes/", views.feature_notes, name="notes"),
    path("sae/<int:sae_id>/<int:index>/star/", views.feature_star, name="star"),
    path("sae/<int:sae_id>/<int:index>/ablation/", ablation_views.ablation_measure, name="ablation"),
    path("sae/<int:sae_id>/<int:index>/others/", counterpart_views.counterparts_page, name="counterparts"),
]
