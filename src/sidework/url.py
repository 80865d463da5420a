"""A store's URL as it may be told: logs, errors and tables show it without its password."""

from __future__ import annotations

import re
from urllib.parse import unquote

_PASSWORD = re.compile(r"(://[^:/?@]*):.*@", re.S)
"""From the first colon after a user's name to the *last* ``@``: a password that was not escaped may
hold any of ``@ / ?``, and rather loses the host here than shows a part of itself."""

_SECRET = frozenset({"password", "sslpassword"})


def shown(url: str) -> str:
    """The URL without a password, neither before the host nor among the parameters."""
    place, mark, query = _PASSWORD.sub(r"\1@", url).partition("?")
    if "://" not in place:
        return url
    parts = [one for one in query.split("&") if unquote(one.partition("=")[0]) not in _SECRET]
    return place + (mark + "&".join(parts) if parts != [""] and parts else "")
