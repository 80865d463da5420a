"""The embedded engine: one file, many processes, no server."""
