-- Who holds running jobs and is not a worker that is known: one seek for each that holds any. A worker is
-- known before its first claim, so a stranger in this snapshot was there and is gone.
-- Unlike on SQLite min() in a subquery is not a seek here; ORDER BY with LIMIT is.
WITH RECURSIVE holders (worker) AS (
    (SELECT worker FROM sidework.jobs WHERE state = 'running' ORDER BY worker LIMIT 1)
    UNION ALL
    SELECT (SELECT job.worker FROM sidework.jobs AS job
            WHERE job.state = 'running' AND job.worker > holders.worker ORDER BY job.worker LIMIT 1)
    FROM holders WHERE worker IS NOT NULL)
SELECT worker FROM holders WHERE worker IS NOT NULL AND worker NOT IN (SELECT id FROM sidework.workers)
