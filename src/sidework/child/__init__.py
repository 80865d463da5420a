"""A child of a worker: where attempts run. It imports the app and never a store."""
