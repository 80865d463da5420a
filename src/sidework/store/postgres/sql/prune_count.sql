-- The moment that the newest :keep completed jobs reach back to, or no row when there are fewer.
SELECT finished_at FROM sidework.jobs
WHERE state = 'completed' AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1 OFFSET :keep::bigint
