"""Addresses of sign-in, settings, health and the polled fragments."""

from django.urls import path

from apps.core import views
from apps.core.live.views import fragments

app_name = "core"

urlpatterns = [
    path("sign-in/", views.sign_in, name="sign-in"),
    path("sign-out/", views.sign_out, name="sign-out"),
    path("enter/<str:token>/", views.enter, name="enter"),
    path("health/", views.health_view, name="health"),
    path("live/", fragments, name="live"),
    path("settings/", views.settings_page, name="settings"),
    path("settings/preferences/", views.preferences_submit, name="preferences"),
    path("settings/secrets/<str:name>/", views.secret_submit, name="secret"),
    path("settings/test/<str:name>/", views.connection_submit, name="connection"),
    path("settings/password/", views.password_submit, name="password"),
    path("settings/tokens/", views.token_create, name="token-create"),
    path("settings/tokens/<int:pk>/revoke/", views.token_revoke, name="token-revoke"),
]
