"""An ASGI app that serves the metrics, for any ASGI server; your own web app mounts them the same way."""

from sidework.contrib.metrics import asgi

from .jobs import app

metrics = asgi(app)
