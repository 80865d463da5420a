-- What a worker is believed to run; no row at all when it is not known (any more), else at least one.
SELECT job.id, job.fence, job.attempt
FROM sidework.workers AS worker
LEFT JOIN sidework.jobs AS job ON job.state = 'running' AND job.worker = worker.id
WHERE worker.id = :worker::bigint
