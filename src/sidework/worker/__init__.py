"""The worker: claims, dispatches, records, keeps house. It runs no user code."""
