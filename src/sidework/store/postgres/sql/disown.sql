-- Jobs that another store has now end here, as long as they wait and are the ones that were copied. The
-- fence grows: nothing may land on them later. What follows from their ends, follows in the other store.
-- Unlike on SQLite, where a statement costs no round trip, many at once.
WITH moved AS (UPDATE sidework.jobs AS job
SET state = 'cancelled', finished_at = :now, fence = job.fence + 1, note = :note, unique_key = NULL
FROM unnest(:id::uuid[], :fence::bigint[]) AS asked (id, fence)
WHERE job.id = asked.id AND job.fence = asked.fence
  AND job.state IN ('blocked', 'scheduled', 'available', 'retryable')
RETURNING job.id),
waits AS (UPDATE sidework.edges SET done = true WHERE parent = ANY (ARRAY(SELECT id FROM moved)))
SELECT id FROM moved
