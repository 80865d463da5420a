-- The tasks that jobs are set aside for and that are open: one seek for each task that has any.
WITH RECURSIVE tasks (task) AS (
    SELECT min(task) FROM jobs INDEXED BY jobs_aside WHERE state = 'blocked' AND pending = 0
    UNION ALL
    SELECT (SELECT min(task) FROM jobs INDEXED BY jobs_aside
            WHERE state = 'blocked' AND pending = 0 AND task > tasks.task)
    FROM tasks WHERE task IS NOT NULL)
SELECT task FROM tasks WHERE task IS NOT NULL AND task NOT IN (SELECT name FROM paused_tasks)
