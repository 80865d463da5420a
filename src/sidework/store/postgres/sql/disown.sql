-- Jobs that another store has now end here, as long as they wait and are the ones that were copied. The
-- fence grows: nothing may land on them later.
-- Unlike on SQLite, where a statement costs no round trip, many at once.
UPDATE sidework.jobs AS job
SET state = 'cancelled', finished_at = :now, fence = job.fence + 1, note = :note, unique_key = NULL
FROM unnest(:id::uuid[], :fence::bigint[]) AS moved (id, fence)
WHERE job.id = moved.id AND job.fence = moved.fence
  AND job.state IN ('blocked', 'scheduled', 'available', 'retryable')
RETURNING job.id
