-- How many jobs of a lane run, whoever runs them: one seek for each worker that is known, and for those that
-- are not any more as in strangers.sql.
-- Unlike on SQLite, where there are no dead entries to step over, not from holder to holder.
WITH RECURSIVE known (after, before) AS (
    SELECT lag(id, 1, -1::bigint) OVER (ORDER BY id), id FROM sidework.workers
    UNION ALL
    SELECT coalesce(max(id), -1), 9223372036854775807 FROM sidework.workers),
strangers (worker, before) AS (
    SELECT (SELECT job.worker FROM sidework.jobs AS job
            WHERE job.state = 'running' AND job.worker > known.after AND job.worker < known.before
            ORDER BY job.worker LIMIT 1), before
    FROM known
    UNION ALL
    SELECT (SELECT job.worker FROM sidework.jobs AS job
            WHERE job.state = 'running' AND job.worker > strangers.worker AND job.worker < strangers.before
            ORDER BY job.worker LIMIT 1), before
    FROM strangers WHERE worker IS NOT NULL),
holders (worker) AS (
    SELECT id FROM sidework.workers UNION ALL SELECT worker FROM strangers WHERE worker IS NOT NULL)
SELECT coalesce(sum((SELECT count(*) FROM sidework.jobs AS job
                     WHERE job.state = 'running' AND job.worker = holders.worker AND job.lane = :lane)), 0)::bigint
FROM holders
