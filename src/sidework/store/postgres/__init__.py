"""The engine for many machines: one PostgreSQL server, any number of workers and clients."""
