-- A worker that is new. Its number is drawn: one that counts would come again in a new file that took the
-- place of this one, and two workers would each take the other's claims for its own.
INSERT INTO workers (id, host, pid, life, started_at, queues) VALUES (?, ?, ?, ?, ?, ?)
RETURNING id, host, pid, life, started_at, queues
