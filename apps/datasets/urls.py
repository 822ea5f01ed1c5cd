"""Pages of datasets, their rows and their tokenizations."""

from django.urls import path

from apps.datasets import preview_views, tokenization_views, views

app_name = "datasets"

urlpatterns = [
    path("", views.dataset_list_page, name="list"),
    path("new/", views.dataset_new, name="new"),
    path("lookups/", views.dataset_lookup_submit, name="lookup"),
    path("<int:pk>/", views.dataset_detail, name="detail"),
    path("<int:pk>/rename/", views.dataset_rename_submit, name="rename"),
    path("<int:pk>/delete/", views.dataset_delete_page, name="delete"),
    path("<int:pk>/rows/<int:row>/", views.row_page, name="row"),
    path("<int:pk>/rows/<int:row>/exclude/", views.row_exclude_toggle, name="row-exclude"),
    path("<int:pk>/tokenize/", preview_views.tokenize_page, name="tokenize"),
    path("<int:pk>/preview/", preview_views.token_preview_submit, name="preview-start"),
    path("previews/<int:pk>/", preview_views.preview_page, name="preview"),
    path("tokenizations/<int:pk>/", tokenization_views.tokenization_detail, name="tokenization"),
    path("tokenizations/<int:pk>/dropped/", tokenization_views.dropped_page, name="dropped"),
    path("tokenizations/<int:pk>/delete/", tokenization_views.tokenization_delete_page, name="tokenization-delete"),
]
