"""URLs below /api/v1/trainings."""

from django.urls import path

from apps.training import api

urlpatterns = [
    path("", api.trainings, name="trainings"),
    path("/compare", api.comparison, name="training-comparison"),
    path("/delete", api.trainings_delete, name="trainings-delete"),
    path("/<int:pk>", api.training, name="training"),
    path("/<int:pk>/metrics", api.metrics, name="training-metrics"),
    path("/<int:pk>/points.csv", api.points, name="training-points"),
    path("/<int:pk>/checkpoints", api.checkpoints, name="training-checkpoints"),
    path("/<int:pk>/checkpoints/<int:checkpoint>", api.checkpoint, name="training-checkpoint"),
    path("/<int:pk>/checkpoints/retention", api.checkpoint_retention, name="training-checkpoint-retention"),
    path("/<int:pk>/<slug:action>", api.training_action, name="training-action"),
]
