-- A worker that is new. Its number is drawn: one that counts would come again in a new database that took the
-- place of this one, and two workers would each take the other's claims for its own. Said again after a
-- lost answer it is the same worker.
-- Unlike on SQLite it has a lease and a first beat by the server's clock, and no life file.
INSERT INTO sidework.workers (id, host, pid, lease, beat_at, started_at, queues)
VALUES (:id::bigint, :host, :pid::integer, :lease::bigint,
        (extract(epoch FROM statement_timestamp()) * 1000)::bigint, :now, :queues)
ON CONFLICT (id) DO UPDATE SET beat = workers.beat
    WHERE workers.host = excluded.host AND workers.pid = excluded.pid
RETURNING id, host, pid, started_at, queues, true
