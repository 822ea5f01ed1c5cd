"""URLs of the SAE pages."""

from django.urls import path

from apps.saes import views

app_name = "saes"
urlpatterns = [
    path("", views.list_page, name="list"),
    path("<int:pk>/", views.detail_page, name="detail"),
    path("<int:pk>/evaluate", views.evaluate_page, name="evaluate"),
    path("<int:pk>/rename", views.rename, name="rename"),
    path("<int:pk>/delete", views.delete, name="delete"),
    path("<int:pk>/evaluations/<int:evaluation>/delete", views.evaluation_delete, name="evaluation-delete"),
]
