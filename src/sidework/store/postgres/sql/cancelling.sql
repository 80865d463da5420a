-- Which jobs of this worker someone asked to cancel.
SELECT id FROM sidework.jobs
WHERE state = 'running' AND cancel_requested AND worker = :worker::bigint
