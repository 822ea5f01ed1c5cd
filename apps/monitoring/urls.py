"""Address of the system page."""

from django.urls import path

from apps.monitoring import views

app_name = "monitoring"

urlpatterns = [path("", views.system, name="system")]
