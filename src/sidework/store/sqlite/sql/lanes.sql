-- The next lanes that have available jobs, after the one given, and whether they have any of one
-- runner: two seeks per lane, at most :most lanes.
WITH RECURSIVE lanes (lane) AS (
    SELECT min(lane) FROM jobs INDEXED BY jobs_available WHERE state = 'available' AND lane > :after
    UNION ALL
    SELECT (SELECT min(lane) FROM jobs INDEXED BY jobs_available
            WHERE state = 'available' AND lane > lanes.lane)
    FROM lanes WHERE lane IS NOT NULL LIMIT :most)
SELECT lane, EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_available
                     WHERE state = 'available' AND lane = lanes.lane AND runner = :runner)
FROM lanes WHERE lane IS NOT NULL
