-- Which jobs of this worker someone asked to cancel.
SELECT id FROM jobs INDEXED BY jobs_cancelling
WHERE state = 'running' AND cancel_requested = 1 AND worker = :worker
