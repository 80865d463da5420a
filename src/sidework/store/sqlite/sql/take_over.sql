-- What a worker holds under a number that it gives up stays its own, under the same fences.
UPDATE jobs SET worker = :worker
WHERE id IN (SELECT id FROM jobs INDEXED BY jobs_running WHERE state = 'running' AND worker = :lost)
