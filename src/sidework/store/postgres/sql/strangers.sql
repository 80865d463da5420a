-- Who holds running jobs and is not a worker that is known: one seek between every two that are known, and
-- one more for each stranger. (Going from holder to holder would step over all that the known ones have ended
-- since the last vacuum, at every look.) A worker is known before its first claim, so a stranger in this
-- snapshot was there and is gone. Unlike on SQLite min() in a subquery is not a seek here; ORDER BY with LIMIT is.
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
    FROM strangers WHERE worker IS NOT NULL)
SELECT worker FROM strangers WHERE worker IS NOT NULL
