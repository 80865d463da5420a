"""What an object must forget in a forked child: locks that a thread of the parent holds, threads that are
not there, descriptors that are the parent's. One hook for all, which keeps none of them alive."""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class Forgetful(Protocol):
    """Whatever keeps something that is only true in the process that made it."""

    def forget_in_child(self) -> None:
        """Called in the child, before anything else of ours runs there."""
        ...


_all: weakref.WeakSet[Any] = weakref.WeakSet()


def forgets(one: Forgetful) -> None:
    """Have ``one`` told in every forked child, for as long as it lives."""
    _all.add(one)


def _in_child() -> None:
    for one in list(_all):
        one.forget_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
