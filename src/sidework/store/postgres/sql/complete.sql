-- The last word of many claims. The fence is the only condition (promise I3), and it grows, so that the
-- same outcome cannot land twice, nor on a job that was settled otherwise. No condition on the state: by
-- the statistics nobody is running, so that one would be planned through the index of running jobs (2k
-- jobs/s instead of 17k).
-- It tells whether anything waits for the end: the index has next to nothing in it where nobody uses that.
-- Unlike on SQLite, where a statement costs no round trip, many at once.
UPDATE sidework.jobs AS job
SET state = 'completed', fence = job.fence + 1, attempt = done.attempt, finished_at = :now,
    result = done.result, worker = NULL, cancel_requested = false, crashes = 0, note = NULL,
    unique_key = NULL
FROM unnest(:id::uuid[], :fence::bigint[], :attempt::integer[], :result::bytea[])
     AS done (id, fence, attempt, result)
WHERE job.id = done.id AND job.fence = done.fence
RETURNING job.id, done.fence, (SELECT true FROM sidework.edges WHERE parent = job.id AND NOT edges.done LIMIT 1)
