"""URLs of the training pages."""

from django.urls import path

from apps.training import views

app_name = "training"
urlpatterns = [
    path("", views.list_page, name="list"),
    path("new/", views.new_page, name="new"),
    path("new/estimate", views.estimate_part, name="estimate"),
    path("what-if/", views.what_if_page, name="what-if"),
    path("compare/", views.compare_page, name="compare"),
    path("compare/points", views.compare_points, name="compare-points"),
    path("delete/", views.delete_several, name="delete-several"),
    path("<int:pk>/", views.detail_page, name="detail"),
    path("<int:pk>/again", views.again, name="again"),
    path("<int:pk>/rename", views.rename, name="rename"),
    path("<int:pk>/delete", views.delete, name="delete"),
    path("<int:pk>/points", views.points, name="points"),
    path("<int:pk>/checkpoints/retention", views.checkpoint_retention, name="checkpoint-retention"),
    path("<int:pk>/checkpoints/<int:checkpoint>/delete", views.checkpoint_delete, name="checkpoint-delete"),
]
