"""Pages of language models."""

from django.urls import path

from apps.language_models import views

app_name = "language_models"

urlpatterns = [
    path("", views.language_model_list_page, name="list"),
    path("new/", views.language_model_new, name="new"),
    path("look-up/", views.language_model_lookup_submit, name="lookup"),
    path("<int:pk>/", views.language_model_detail, name="detail"),
    path("<int:pk>/sites/<int:layer>/<slug:site>/", views.site_part, name="site"),
    path("<int:pk>/quantize/", views.language_model_quantize_page, name="quantize"),
    path("<int:pk>/check/", views.language_model_check_submit, name="check"),
    path("<int:pk>/vocabulary/", views.vocabulary_rebuild_submit, name="vocabulary-rebuild"),
    path("<int:pk>/rename/", views.language_model_rename_submit, name="rename"),
    path("<int:pk>/delete/", views.language_model_delete_page, name="delete"),
]
