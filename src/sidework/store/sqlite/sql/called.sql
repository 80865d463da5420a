-- What its callbacks are told of a job that has ended.
SELECT id, task, state, fence, finished_at, note, callbacks, context, result,
       (SELECT failure FROM attempts WHERE job_id = id ORDER BY fence DESC LIMIT 1)
FROM jobs WHERE id = :id AND callbacks IS NOT NULL
