-- Who has registered and did not leave in good order, and whose heart has beaten within its lease.
SELECT id, host, pid, started_at, queues, beat_at + lease > :now FROM sidework.workers ORDER BY id
