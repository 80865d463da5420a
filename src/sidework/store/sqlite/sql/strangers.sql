-- Who holds running jobs and is not a worker that is known: one seek for each that holds any.
WITH RECURSIVE holders (worker) AS (
    SELECT min(worker) FROM jobs INDEXED BY jobs_running WHERE state = 'running'
    UNION ALL
    SELECT (SELECT min(worker) FROM jobs INDEXED BY jobs_running
            WHERE state = 'running' AND worker > holders.worker)
    FROM holders WHERE worker IS NOT NULL)
SELECT worker FROM holders WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM workers)
