"""The PostgreSQL engine: one database, workers on any number of machines."""
