-- The tasks that jobs are set aside for and that are open: one seek for each task that has any.
-- Unlike on SQLite min() in a subquery is not a seek here; ORDER BY with LIMIT is.
WITH RECURSIVE tasks (task) AS (
    (SELECT task FROM sidework.jobs WHERE state = 'blocked' AND pending = 0 ORDER BY task LIMIT 1)
    UNION ALL
    SELECT (SELECT job.task FROM sidework.jobs AS job
            WHERE job.state = 'blocked' AND job.pending = 0 AND job.task > tasks.task ORDER BY job.task LIMIT 1)
    FROM tasks WHERE task IS NOT NULL)
SELECT task FROM tasks WHERE task IS NOT NULL AND task NOT IN (SELECT name FROM sidework.paused_tasks)
