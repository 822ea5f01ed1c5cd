"""URLs of the feature pages."""

from django.urls import path

from apps.features import list_views, views
from apps.features.ablation import views as ablation
from apps.features.collections import views as collections
from apps.features.counterparts import views as counterparts
from apps.features.language import views as language
from apps.features.maps import views as maps
from apps.features.trying import views as trying

app_name = "features"
urlpatterns = [
    path("", views.feature_run_list_page, name="index"),
    path("new/", views.feature_run_new, name="new"),
    path("new/estimate/", views.feature_run_estimate, name="estimate"),
    path("try/", trying.try_page, name="try"),
    path("try/<int:pk>/", trying.tried_page, name="tried"),
    path("runs/<int:pk>/delete/", views.feature_run_remove, name="run-delete"),
    path("collections/", collections.collection_list_page, name="collections"),
    path("collections/new/", collections.collection_new, name="collection-new"),
    path("collections/<int:pk>/", collections.collection_page, name="collection"),
    path("collections/<int:pk>/delete/", collections.collection_remove, name="collection-delete"),
    path("collections/<int:pk>/take/", collections.collection_take, name="collection-take"),
    path("sae/<int:sae_id>/", views.feature_list_page, name="list"),
    path("sae/<int:sae_id>/change/", list_views.features_change, name="change"),
    path("sae/<int:sae_id>/selection/", list_views.features_selected, name="selection"),
    path("sae/<int:sae_id>/<int:index>/peek/", list_views.feature_peek, name="peek"),
    path("sae/<int:sae_id>/<int:index>/row/words/", list_views.feature_row_words, name="row-words"),
    path("sae/<int:sae_id>/<int:index>/row/star/", list_views.feature_row_star, name="row-star"),
    path("sae/<int:sae_id>/overview/", views.feature_overview, name="overview"),
    path("sae/<int:sae_id>/map/", maps.map_page, name="map"),
    path("maps/<int:pk>/delete/", maps.map_remove, name="map-delete"),
    path("sae/<int:sae_id>/selected/", views.feature_selected, name="selected"),
    path("sae/<int:sae_id>/random/", views.feature_random_page, name="random"),
    path("sae/<int:sae_id>/go/", views.feature_go, name="go"),
    path("sae/<int:sae_id>/<int:index>/", views.feature_page, name="detail"),
    path("sae/<int:sae_id>/<int:index>/words/", views.feature_words, name="words"),
    path("sae/<int:sae_id>/<int:index>/notes/", views.feature_notes, name="notes"),
    path("sae/<int:sae_id>/<int:index>/language/", language.language_start, name="language"),
    path("sae/<int:sae_id>/<int:index>/star/", views.feature_star, name="star"),
    path("sae/<int:sae_id>/<int:index>/ablation/", ablation.ablation_measure, name="ablation"),
    path("sae/<int:sae_id>/<int:index>/others/", counterparts.counterparts_page, name="counterparts"),
]
