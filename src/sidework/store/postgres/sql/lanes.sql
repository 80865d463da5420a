-- The next lanes that have available jobs, after the one given, and whether they have any of one
-- runner: two seeks per lane, at most :most lanes. Unlike on SQLite min() in a subquery is not a seek
-- here; ORDER BY with LIMIT is. And no LIMIT may stand within the recursion. EXISTS may
-- become a table of all lanes' jobs; a LIMIT may not.
WITH RECURSIVE lanes (lane) AS (
    (SELECT lane FROM sidework.jobs WHERE state = 'available' AND lane > :after ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT job.lane FROM sidework.jobs AS job
            WHERE job.state = 'available' AND job.lane > lanes.lane ORDER BY job.lane LIMIT 1)
    FROM lanes WHERE lane IS NOT NULL)
SELECT lane, coalesce((SELECT true FROM sidework.jobs AS job
                       WHERE job.state = 'available' AND job.lane = lanes.lane AND job.runner = :runner
                       LIMIT 1), false)
FROM lanes WHERE lane IS NOT NULL LIMIT :most::bigint
