"""Sidework within other frameworks; each is imported only where it is used."""
