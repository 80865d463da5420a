"""Settings of the example: SQLite files beside it, or the PostgreSQL database that SIDEWORK_URL names."""

import os
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import django

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "an example has no secrets"
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
ROOT_URLCONF = "project.urls"
USE_TZ = True

INSTALLED_APPS = ["sidework.contrib.django", "shop"]
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")

URL = urlsplit(os.environ.get("SIDEWORK_URL", ""))
if URL.scheme == "postgresql":
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": URL.path[1:],
            "USER": unquote(URL.username or ""),
            "PASSWORD": unquote(URL.password or ""),
            "HOST": URL.hostname or parse_qs(URL.query).get("host", [""])[0],
            "PORT": URL.port or parse_qs(URL.query).get("port", [""])[0],
        }
    }
    OPTIONS = {"database": "default"}  # jobs are stored in the transactions of this database
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "site.db"}}
    OPTIONS = {}

TASKS = {
    "default": {
        "BACKEND": "sidework.contrib.django.SideworkBackend",
        "QUEUES": [],  # any
        "OPTIONS": {**OPTIONS, "retries": 1, "backoff": "100ms"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
