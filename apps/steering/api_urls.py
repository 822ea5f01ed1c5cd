"""/api/v1/steering/"""

from django.urls import path

from apps.steering import api

urlpatterns = [
    path("generate", api.generate, name="steering-generate"),
    path("compare", api.generate, name="steering-compare"),
    path("experiments", api.experiments, name="steering-experiments"),
    path("experiments/<int:pk>", api.experiment, name="steering-experiment"),
]
