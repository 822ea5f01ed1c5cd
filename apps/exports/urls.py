"""URLs of the export pages."""

from django.urls import path

from apps.exports import views

app_name = "exports"
urlpatterns = [
    path("", views.list_page, name="list"),
    path("new/", views.new_page, name="new"),
    path("<int:pk>/", views.detail_page, name="detail"),
    path("<int:pk>/download", views.download, name="download"),
    path("<int:pk>/delete", views.delete, name="delete"),
]
