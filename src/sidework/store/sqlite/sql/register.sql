-- A worker that is new. Its number is never given again, so a running row can name it.
INSERT INTO workers (host, pid, life, started_at, queues) VALUES (?, ?, ?, ?, ?)
RETURNING id, host, pid, life, started_at, queues
