"""/api/v1/jobs"""

from django.urls import path

from apps.jobs import api

urlpatterns = [
    path("", api.jobs, name="jobs"),
    path("/<int:pk>", api.job, name="job"),
    path("/<int:pk>/<slug:action>", api.job_action, name="job-action"),
]
