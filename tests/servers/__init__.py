"""Real servers for the tests, and what stands between them and their clients.

``postgres.py`` starts PostgreSQL, ``pgbouncer.py`` a pooler before it, ``proxy.py`` a network that
misbehaves on request, ``netns.py`` machines with a cable that can be pulled. Nothing here imports
``sidework``: the tools know servers and the wire, not what is tested with them.
"""
