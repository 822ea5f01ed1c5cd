"""Pages of activation caches."""

from django.urls import path

from apps.activations import views

app_name = "activations"

urlpatterns = [
    path("", views.activation_cache_list_page, name="list"),
    path("new/", views.activation_cache_new, name="new"),
    path("estimate/", views.estimate, name="estimate"),
    path("<int:pk>/", views.activation_cache_detail, name="detail"),
    path("<int:pk>/delete/", views.activation_cache_delete_page, name="delete"),
]
