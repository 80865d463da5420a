"""Extras: what a part of this package needs and plain ``pip install`` leaves out."""

from __future__ import annotations


def how_to_install(extra: str) -> str:
    """The words that end a line about what is not installed."""
    return f"pip install 'sidework[{extra}]' (in a clone: pip install '.[{extra}]')"
