"""URLs of the jobs pages."""

from django.urls import path

from apps.jobs import views

app_name = "jobs"
urlpatterns = [
    path("", views.job_list_page, name="list"),
    path("<int:pk>/", views.job_page, name="detail"),
    path("<int:pk>/priority", views.job_priority, name="priority"),
    path("<int:pk>/<slug:action>", views.job_action, name="action"),
]
