-- The available jobs of each queue: how many, :most at most, and since when the oldest could have run. A
-- lane's jobs lie by runner, priority and time: its oldest is the first of one of these groups, each
-- found by a seek. The lanes behind the last of :queues are told together, with the oldest of those read.
-- Unlike on SQLite min() is not a seek here; ORDER BY with LIMIT is. No LIMIT may stand in the recursion.
WITH RECURSIVE every (lane) AS (
    (SELECT lane FROM sidework.jobs WHERE state = 'available' ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT job.lane FROM sidework.jobs AS job
            WHERE job.state = 'available' AND job.lane > every.lane ORDER BY job.lane LIMIT 1)
    FROM every WHERE lane IS NOT NULL),
lanes AS MATERIALIZED (SELECT lane FROM every WHERE lane IS NOT NULL LIMIT :queues::bigint),
heads (lane, runner, priority) AS (
    SELECT lane, runner, (SELECT job.priority FROM sidework.jobs AS job
            WHERE job.state = 'available' AND job.lane = lanes.lane AND job.runner = asked.runner
            ORDER BY job.priority DESC LIMIT 1)
    FROM lanes, (VALUES ('loop'), ('thread'), ('process')) AS asked (runner)
    UNION ALL
    SELECT lane, runner, (SELECT job.priority FROM sidework.jobs AS job
            WHERE job.state = 'available' AND job.lane = heads.lane AND job.runner = heads.runner
              AND job.priority < heads.priority
            ORDER BY job.priority DESC LIMIT 1)
    FROM heads WHERE priority IS NOT NULL),
oldest (lane, due_at) AS (
    SELECT lane, min((SELECT job.due_at FROM sidework.jobs AS job
            WHERE job.state = 'available' AND job.lane = heads.lane AND job.runner = heads.runner
              AND job.priority = heads.priority
            ORDER BY job.due_at LIMIT 1))
    FROM heads WHERE priority IS NOT NULL GROUP BY lane)
SELECT lane,
       (SELECT count(*) FROM (SELECT FROM sidework.jobs AS job
                              WHERE job.state = 'available' AND job.lane = oldest.lane
                              LIMIT :most::bigint) AS few),
       due_at
FROM oldest
UNION ALL
SELECT :others, count(*), min(due_at)
FROM (SELECT due_at FROM sidework.jobs
      WHERE state = 'available' AND lane > (SELECT max(lane) FROM lanes) LIMIT :most::bigint) AS few
HAVING count(*) > 0
