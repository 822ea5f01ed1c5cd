"""Django settings. Everything that varies between machines comes from `env.py`; reasons stand beside the odd ones."""

import importlib.util
import logging
import os
import sys
from pathlib import Path

import dj_database_url
from csp.constants import NONE, SELF

from mistudio_site import env, keys
from mistudio_site.private import data_folder_prepare

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env.read_path("DATA_DIR")
data_folder_prepare(DATA_DIR)

DEBUG = env.read_bool("MISTUDIO_DEBUG")
SECRET_KEY = env.read("MISTUDIO_SECRET_KEY") or keys.secret_key(DATA_DIR / "keys")
FERNET_KEYS = env.read_list("MISTUDIO_FERNET_KEYS") or keys.fernet_keys(DATA_DIR / "keys")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *env.read_list("ALLOWED_HOSTS")]

INSTALLED_APPS = [
    *(["daphne"] if "runserver" in sys.argv else []),  # which it replaces; else it is 20 MB that few processes need
    "django.contrib.admin.apps.SimpleAdminConfig",  # finds admin modules when urls.py asks, not in every process
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "axes",
    "channels",
    "csp",
    "django_htmx",
    "django_q",
    "lucide",
    "template_partials",
    "apps.core",
    "apps.jobs",
    "apps.presets",
    "apps.monitoring",
    "apps.language_models",
    "apps.datasets",
    "apps.activations",
    "apps.training",
    "apps.saes",
    "apps.features",
    "apps.steering",
    "apps.exports",
    "apps.home",
]

MIDDLEWARE = [
    "apps.core.middleware.HeadMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.core.middleware.HtmxLoginMiddleware",
    "apps.core.middleware.AppErrorMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "mistudio_site.urls"
SILENCED_SYSTEM_CHECKS = ["urls.W002"]  # JSON addresses have no slash at the end: "jobs" + "/<int:pk>"
ASGI_APPLICATION = "mistudio_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.core.context_processors.studio",
                "apps.jobs.context_processors.troubles",
            ],
            "builtins": [
                "apps.core.templatetags.studio",
                "apps.core.templatetags.icons",
                "template_partials.templatetags.partials",
            ],
        },
    }
]

# IMMEDIATE makes select-then-update claims safe and keeps "database is locked" away under several writers.
# No ATOMIC_REQUESTS: with IMMEDIATE every GET would take the write lock.
SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
}


def _database() -> dict:
    address = env.read("DATABASE_URL")
    if not address:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "db.sqlite3", "OPTIONS": SQLITE_OPTIONS}
    try:
        database = dj_database_url.parse(address)
    except ValueError:
        database = {"ENGINE": ""}
    if database["ENGINE"] != "django.db.backends.postgresql":
        raise SystemExit("DATABASE_URL must be a PostgreSQL address (postgresql://…); leave it empty for SQLite.")
    # What PostgreSQL's manual advises for solid-state disks: else it reads whole tables where an index has all it needs.
    database.setdefault("OPTIONS", {}).setdefault("options", "-c random_page_cost=1.1")
    return database


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "core:sign-in"
LOGIN_REDIRECT_URL = "home:home"
LOGOUT_REDIRECT_URL = "core:sign-in"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "apps.core.client_address.client_address"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "old", "csrfmiddlewaretoken"]  # passwords besides
AXES_LOCKOUT_TEMPLATE = "core/locked_out.html"
AXES_VERBOSE = False

# Cookies carry the port's name: two studios on one machine must not sign each other out.
SESSION_COOKIE_NAME = f"mistudio_{env.read_int('MISTUDIO_PORT')}"
CSRF_COOKIE_NAME = f"mistudio_csrf_{env.read_int('MISTUDIO_PORT')}"
PROXIES = env.read_int("MISTUDIO_PROXIES")
CSRF_TRUSTED_ORIGINS = env.read_list("CSRF_TRUSTED_ORIGINS")
SESSION_COOKIE_AGE = 30 * 86400
if env.read_bool("MISTUDIO_BEHIND_TLS"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31536000

# Plotly makes an empty <style> and one for its maps, allowed by their hashes, and sets style attributes.
PLOTLY_STYLES = ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o=")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF, *(f"'sha256-{digest}'" for digest in PLOTLY_STYLES)],
        "style-src-attr": ["'unsafe-inline'"],
        "img-src": [SELF, "data:", "blob:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
# find_spec of a top-level package does not import it: plotly's Python side stays out of the web process.
_PLOTLY = Path(importlib.util.find_spec("plotly").submodule_search_locations[0]) / "package_data"
STATICFILES_DIRS = [BASE_DIR / "static", ("plotly", _PLOTLY)]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
FILE_UPLOAD_TEMP_DIR = DATA_DIR / "tmp"
FILE_UPLOAD_TEMP_DIR.mkdir(exist_ok=True)
UPLOAD_MAX_BYTES = env.read_int("MISTUDIO_UPLOAD_MAX_MB") * 2**20
_ACTIVATIONS_MAX_GB = env.read_int_or_none("MISTUDIO_ACTIVATIONS_MAX_GB")
ACTIVATIONS_MAX_BYTES = None if _ACTIVATIONS_MAX_GB is None else _ACTIVATIONS_MAX_GB * 2**30

# The Job table is the queue of record; a django-q2 message only wakes a worker. Hence no retry by q2: `retry` counts from
# the moment a message is taken, and would start a second supervisor for a long job. 60 days stay below q2's C float limit.
SLOTS = {queue: env.read_int(f"MISTUDIO_SLOTS_{queue.upper()}") for queue in ("gpu", "cpu", "io", "steer")}
WARM_IDLE_S = env.read_int("MISTUDIO_WARM_IDLE_S")
Q_CLUSTER = {
    "name": "mistudio",
    "orm": "default",
    "poll": 0.2,
    "bulk": 1,
    "workers": max(1, sum(SLOTS.values())),
    "recycle": 500,
    "timeout": 60 * 86400,
    "retry": 61 * 86400,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": 200,
    "catch_up": False,
    "queue_limit": 1,
    "guard_cycle": 0.5,
    "daemonize_workers": False,
    "label": "Queue messages",
}

HOST = env.read("MISTUDIO_HOST")
PORT = env.read_int("MISTUDIO_PORT")
MONITOR_INTERVAL_S = env.read_int("MISTUDIO_MONITOR_INTERVAL_S")
ALLOW_PRIVATE_LLM = env.read_bool("MISTUDIO_ALLOW_PRIVATE_LLM")

# A log file on a full disk loses lines; the console still has them, without a traceback of the logging for each.
logging.raiseExceptions = False
LOG_DIR = DATA_DIR / "logs"
LOG_DIR.mkdir(exist_ok=True)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {
        "file": {
            "class": "logging.handlers.RotatingFileHandler",
            "filename": LOG_DIR / f"{os.environ.get('MISTUDIO_ROLE', 'command')}.log",
            "maxBytes": 5_000_000,
            "backupCount": 3,
            "delay": True,
            "formatter": "line",
        },
        "console": {"class": "logging.StreamHandler", "level": "WARNING", "formatter": "line"},
    },
    "root": {"handlers": ["file", "console"], "level": "INFO"},
    "loggers": {"django_q": {"level": "WARNING"}, "daphne": {"level": "WARNING"}, "axes": {"level": "WARNING"}},
}
