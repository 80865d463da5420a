-- What still waits for others, too, waits anew for a job that is retried. Unlike on SQLite the rows are
-- locked first, and one that is locked already is as if it had been released a moment before.
WITH held AS MATERIALIZED (
    SELECT id FROM sidework.jobs
    WHERE id = ANY (ARRAY(SELECT child FROM sidework.edges WHERE parent = :id::uuid AND child <> parent AND done))
      AND state = 'blocked' AND pending > 0
    FOR UPDATE SKIP LOCKED)
UPDATE sidework.edges SET done = false
WHERE parent = :id::uuid AND done AND child = ANY (ARRAY(SELECT id FROM held))
RETURNING child
