"""URLs of the steering pages."""

from django.urls import path

from apps.steering import views

app_name = "steering"
urlpatterns = [
    path("", views.experiment_list_page, name="list"),
    path("new/", views.experiment_new, name="new"),
    path("cart/", views.cart_search, name="cart-search"),
    path("cart/row/", views.cart_row, name="cart-row"),
    path("<int:pk>/", views.experiment_page, name="detail"),
    path("<int:pk>/save/", views.experiment_keep, name="save"),
    path("<int:pk>/delete/", views.experiment_remove, name="delete"),
    path("<int:pk>/download/", views.experiment_download, name="download"),
]
