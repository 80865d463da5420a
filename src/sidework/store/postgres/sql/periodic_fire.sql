-- Periodics move on, in the transaction that stores their jobs (promise I8); not those that have been changed
-- or fired since they were looked at.
-- Unlike on SQLite, where one transaction writes at a time: all at once, and not those that another fires now
-- (SKIP LOCKED): of several schedulers that wake at one tick none waits for another, nor can they deadlock.
WITH seen AS MATERIALIZED (
    SELECT * FROM unnest(:name::text[], :version::bigint[], :next_at::bigint[], :look_at::bigint[],
                         :last_at::bigint[], :last_job::uuid[])
         AS given (name, version, next_at, look_at, last_at, last_job)
), mine AS MATERIALIZED (
    SELECT p.name FROM seen JOIN sidework.periodics AS p ON p.name = seen.name AND p.version = seen.version
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE sidework.periodics AS p
SET next_at = seen.next_at, look_at = seen.look_at, last_at = seen.last_at,
    last_job = coalesce(seen.last_job, p.last_job), moved_at = :now, version = p.version + 1
FROM seen JOIN mine ON mine.name = seen.name
WHERE p.name = seen.name
RETURNING p.name
