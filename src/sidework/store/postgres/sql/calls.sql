-- Jobs that have ended with their callbacks still to be enqueued, and what those are told of them: they are as
-- good as enqueued. Unlike on SQLite many at once, as for complete.sql. The jobs are locked first, and looked at
-- anew by that (READ COMMITTED): one that is retried at this moment must not be marked by what it was before.
-- Whoever retries or deletes it has it locked already: it is passed over, and seen to by them.
WITH held AS MATERIALIZED (
    SELECT id, task, state, fence, finished_at, note, callbacks, context, result FROM sidework.jobs
    WHERE id = ANY (:id::uuid[]) AND finished_at IS NOT NULL
    FOR NO KEY UPDATE SKIP LOCKED)
UPDATE sidework.edges AS edge SET done = true
FROM held
WHERE edge.parent = held.id AND edge.child = held.id AND NOT edge.done
RETURNING held.*, (SELECT failure FROM sidework.attempts WHERE job_id = held.id ORDER BY fence DESC LIMIT 1)
