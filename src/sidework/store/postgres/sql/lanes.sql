-- The next lanes that have available jobs, after the one given, and for which of these runners: two seeks
-- per lane and one per runner, at most :most lanes. Unlike on SQLite min() in a subquery is not a seek
-- here; ORDER BY with LIMIT is. And no LIMIT may stand within the recursion. EXISTS may
-- become a table of all lanes' jobs; a LIMIT may not. All runners at once, since a statement costs a round trip.
WITH RECURSIVE lanes (lane) AS (
    (SELECT lane FROM sidework.jobs WHERE state = 'available' AND lane > :after ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT job.lane FROM sidework.jobs AS job
            WHERE job.state = 'available' AND job.lane > lanes.lane ORDER BY job.lane LIMIT 1)
    FROM lanes WHERE lane IS NOT NULL)
SELECT lane, ARRAY(SELECT runner FROM unnest(:runners::text[]) AS asked (runner)
                   WHERE (SELECT true FROM sidework.jobs AS job
                          WHERE job.state = 'available' AND job.lane = lanes.lane AND job.runner = asked.runner
                          LIMIT 1))
FROM lanes WHERE lane IS NOT NULL LIMIT :most::bigint
