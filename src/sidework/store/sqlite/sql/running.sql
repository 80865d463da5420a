-- How many jobs of a lane run, whoever runs them: one seek for each worker that runs any.
WITH RECURSIVE holders (worker) AS (
    SELECT min(worker) FROM jobs INDEXED BY jobs_running WHERE state = 'running'
    UNION ALL
    SELECT (SELECT min(worker) FROM jobs INDEXED BY jobs_running
            WHERE state = 'running' AND worker > holders.worker)
    FROM holders WHERE worker IS NOT NULL)
SELECT coalesce(sum((SELECT count(*) FROM jobs INDEXED BY jobs_running
                     WHERE state = 'running' AND worker = holders.worker AND lane = :lane)), 0)
FROM holders WHERE worker IS NOT NULL
