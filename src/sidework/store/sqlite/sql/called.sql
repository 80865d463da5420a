-- What its callbacks are told of a job that has ended, and whose callbacks are still to be enqueued.
SELECT id, task, state, fence, finished_at, note, callbacks, context, result,
       (SELECT failure FROM attempts WHERE job_id = id ORDER BY fence DESC LIMIT 1)
FROM jobs WHERE id = :id AND finished_at IS NOT NULL AND callbacks IS NOT NULL
  AND EXISTS (SELECT 1 FROM edges WHERE parent = :id AND child = :id AND done = 0)
