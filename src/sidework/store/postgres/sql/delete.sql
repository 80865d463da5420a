-- A final job is removed; a live one is not (cancel it first). Its attempts, notes and waits go with it.
-- Unlike on SQLite, where a second statement in the transaction does that, at no round trip.
WITH gone AS (
    DELETE FROM sidework.jobs WHERE id = :id::uuid AND state IN ('completed', 'cancelled', 'discarded')
    RETURNING id),
told AS (DELETE FROM sidework.attempts WHERE job_id IN (SELECT id FROM gone)),
noted AS (DELETE FROM sidework.notes WHERE job_id IN (SELECT id FROM gone)),
waited AS (DELETE FROM sidework.edges WHERE child IN (SELECT id FROM gone))
SELECT id FROM gone
