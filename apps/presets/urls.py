"""Pages of presets, and the picker's fragments."""

from django.urls import path

from apps.presets import picker, views

app_name = "presets"

urlpatterns = [
    path("", views.preset_list_page, name="list"),
    path("new/<slug:kind>/", views.preset_new, name="new"),
    path("from-job/<int:job>/", views.preset_from_job, name="from-job"),
    path("import/", views.preset_import, name="import"),
    path("export/", views.preset_export, name="export"),
    path("picker/", picker.picker, name="picker"),
    path("use/", picker.use, name="use"),
    path("save/", picker.save, name="save"),
    path("<int:pk>/", views.preset_page, name="detail"),
    path("<int:pk>/diff/", picker.diff, name="diff"),
    path("<int:pk>/change/", views.preset_change, name="change"),
    path("<int:pk>/delete/", views.preset_remove, name="delete"),
    path("<int:pk>/favourite/", views.preset_favourite, name="favourite"),
    path("<int:pk>/clone/", views.preset_copy, name="clone"),
]
