-- What a worker is believed to run; no row at all when it is not known (any more), else at least one.
-- Unlike on SQLite, where whether it is known is asked before, in the same snapshot, one statement.
SELECT job.id, job.fence, job.attempt
FROM sidework.workers AS worker
LEFT JOIN sidework.jobs AS job ON job.state = 'running' AND job.worker = worker.id
WHERE worker.id = :worker::bigint
