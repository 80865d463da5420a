-- Jobs that have ended with their callbacks still to be enqueued, and what those are told of them: they are as
-- good as enqueued. Unlike on SQLite many at once, as for complete.sql.
UPDATE sidework.edges AS edge SET done = true
FROM unnest(:id::uuid[]) AS asked (id) JOIN sidework.jobs AS job ON job.id = asked.id
WHERE edge.parent = asked.id AND edge.child = asked.id AND NOT edge.done AND job.finished_at IS NOT NULL
RETURNING job.id, job.task, job.state, job.fence, job.finished_at, job.note, job.callbacks, job.context, job.result,
          (SELECT failure FROM sidework.attempts WHERE job_id = job.id ORDER BY fence DESC LIMIT 1)
