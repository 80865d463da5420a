-- What a worker is believed to run.
SELECT id, fence, attempt FROM jobs INDEXED BY jobs_running WHERE state = 'running' AND worker = :worker
