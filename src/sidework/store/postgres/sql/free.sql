-- Of claims that a transaction of their own job may end: those that still stand, and whether that row is
-- free. It is locked from here on, so that the record never waits for a job's own transaction.
WITH free AS MATERIALIZED (SELECT id FROM sidework.jobs WHERE id = ANY (:id::uuid[]) FOR UPDATE SKIP LOCKED)
SELECT asked.id, asked.fence, asked.id IN (SELECT id FROM free)
FROM unnest(:id::uuid[], :fence::bigint[]) AS asked (id, fence)
JOIN sidework.jobs AS job ON job.id = asked.id AND job.fence = asked.fence
