"""What ``INSTALLED_APPS`` finds: the app brings the command ``manage.py sidework``."""

from __future__ import annotations

from django.apps import AppConfig


class SideworkConfig(AppConfig):
    """Has no models; jobs are in the store of the backend."""

    name = "sidework.contrib.django"
    label = "sidework"
    verbose_name = "Sidework"
