-- Beside withdraw.sql in one statement (errand.py): the waits of what it took away.
DELETE FROM sidework.edges WHERE child IN (SELECT id FROM changed)
RETURNING child
