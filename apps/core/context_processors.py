"""What base.html needs on every page: the navigation, the chosen theme, the version."""

from dataclasses import dataclass
from functools import lru_cache

from django.http import HttpRequest
from django.urls import reverse

from mistudio_site import __version__

THEMES = ("system", "light", "dark")


@dataclass(frozen=True)
class NavItem:
    """One entry of the navigation; `apps` are the URL namespaces whose pages it stands for, `key` the letter after g. Pages
    that an entry names in `pages` (beginnings of URL names) are its alone."""

    title: str
    url_name: str
    icon: str
    apps: tuple[str, ...]
    key: str
    pages: tuple[str, ...] = ()

    def is_of(self, view_name: str) -> bool:
        """Whether the page of this URL name is one that the entry names."""
        return view_name.startswith(self.pages) if self.pages else False


NAVIGATION: tuple[tuple[str, tuple[NavItem, ...]], ...] = (
    ("", (NavItem("Home", "home:home", "house", ("home",), "h"),)),
    (
        "Prepare",
        (
            NavItem("Datasets", "datasets:list", "database", ("datasets",), "d"),
            NavItem("Language models", "language_models:list", "brain", ("language_models",), "m"),
            NavItem("Activations", "activations:list", "layers", ("activations",), "a"),
        ),
    ),
    (
        "Understand",
        (
            NavItem("Training", "training:list", "chart-spline", ("training",), "r"),
            NavItem("SAEs", "saes:list", "hexagon", ("saes",), "s"),
            NavItem("Features", "features:index", "sparkles", ("features",), "f"),
            NavItem("Try text", "features:try", "scan-text", (), "x", pages=("features:try",)),
            NavItem("Collections", "features:collections", "folder-heart", (), "c", pages=("features:collection",)),
            NavItem("Steering", "steering:list", "sliders-horizontal", ("steering",), "t"),
            NavItem("Exports", "exports:list", "package", ("exports",), "e"),
            NavItem("Templates", "presets:list", "bookmark", ("presets",), "p"),
        ),
    ),
    (
        "Machine",
        (
            NavItem("Jobs", "jobs:list", "list-checks", ("jobs",), "j"),
            NavItem("System", "monitoring:system", "cpu", ("monitoring",), "y"),
            NavItem("Settings", "core:settings", "settings", ("core",), ","),
        ),
    ),
)


@lru_cache(256)
def _navigation(view_name: str) -> list[tuple[str, list[dict[str, object]]]]:
    """The groups of entries, as the page of this URL name shows them."""
    entries = [item for _, items in NAVIGATION for item in items]
    app = view_name.partition(":")[0]
    current = next((item for item in entries if item.is_of(view_name)), None)
    current = current or next((item for item in entries if app in item.apps), None)
    return [
        (title, [{"item": item, "url": reverse(item.url_name), "is_current": item is current} for item in items])
        for title, items in NAVIGATION
    ]


def studio(request: HttpRequest) -> dict[str, object]:
    """Context of every page. The theme comes from a cookie, so that the first paint is right without a script."""
    chosen = request.COOKIES.get("theme", "")
    return {
        "navigation": _navigation(request.resolver_match.view_name if request.resolver_match else ""),
        "theme": chosen if chosen in THEMES else "system",
        "keys_on": request.COOKIES.get("keys") != "off",
        "studio_version": __version__,
    }
