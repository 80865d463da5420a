"""Testing an app: its jobs run in the test's own process, when the test says so, at the time it says.

``Sandbox`` is what a test holds, by hand or as the fixture ``sidework`` of the pytest plugin. Nothing is
loaded before it is used: pytest imports the plugin in every project that has Sidework installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .sandbox import Sandbox

__all__ = ["Sandbox"]


def __getattr__(name: str) -> Any:
    """``Sandbox``, at its first use."""
    if name != "Sandbox":
        raise AttributeError(f"module 'sidework.testing' has no attribute {name!r}")
    from .sandbox import Sandbox

    return Sandbox
