-- The available jobs of each queue: how many, :most at most, and since when the oldest could have run. A
-- lane's jobs lie by runner, priority and time: its oldest is the first of one of these groups, each
-- found by a seek. The lanes behind the last of :queues are told together, with the oldest of those read.
WITH RECURSIVE lanes (lane) AS (
    SELECT min(lane) FROM jobs INDEXED BY jobs_available WHERE state = 'available'
    UNION ALL
    SELECT (SELECT min(lane) FROM jobs INDEXED BY jobs_available
            WHERE state = 'available' AND lane > lanes.lane)
    FROM lanes WHERE lane IS NOT NULL LIMIT :queues),
runners (runner) AS (VALUES ('loop'), ('thread'), ('process')),
heads (lane, runner, priority) AS (
    SELECT lane, runner, (SELECT max(priority) FROM jobs INDEXED BY jobs_available
            WHERE state = 'available' AND lane = lanes.lane AND runner = runners.runner)
    FROM lanes, runners WHERE lane IS NOT NULL
    UNION ALL
    SELECT lane, runner, (SELECT max(priority) FROM jobs INDEXED BY jobs_available
            WHERE state = 'available' AND lane = heads.lane AND runner = heads.runner
              AND priority < heads.priority)
    FROM heads WHERE priority IS NOT NULL),
oldest (lane, due_at) AS MATERIALIZED (
    SELECT lane, min((SELECT min(due_at) FROM jobs INDEXED BY jobs_available
            WHERE state = 'available' AND lane = heads.lane AND runner = heads.runner
              AND priority = heads.priority))
    FROM heads WHERE priority IS NOT NULL GROUP BY lane)
SELECT lane,
       (SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_available
                              WHERE state = 'available' AND lane = oldest.lane LIMIT :most)),
       due_at
FROM oldest
UNION ALL
SELECT :others, count(*), min(due_at)
FROM (SELECT due_at FROM jobs INDEXED BY jobs_available
      WHERE state = 'available' AND lane > (SELECT max(lane) FROM lanes) LIMIT :most)
HAVING count(*) > 0
