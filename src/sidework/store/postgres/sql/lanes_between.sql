-- Lanes that have available jobs and are not among the known ones, after the one given: one seek between every
-- two that are known, and one more for each lane found. (lanes.sql would step over all the dead entries of
-- those, see bounds.py.) No name begins with the last character of Unicode.
WITH RECURSIVE known (after, before) AS (
    SELECT lag(lane, 1, :after) OVER (ORDER BY lane COLLATE "C"), lane FROM unnest(:known::text[]) AS known (lane)
    UNION ALL
    SELECT coalesce(max(lane COLLATE "C"), :after), chr(1114111) FROM unnest(:known::text[]) AS known (lane)),
lanes (lane, before) AS (
    SELECT (SELECT job.lane FROM sidework.jobs AS job
            WHERE job.state = 'available' AND job.lane > known.after AND job.lane < known.before
            ORDER BY job.lane LIMIT 1), before
    FROM known
    UNION ALL
    SELECT (SELECT job.lane FROM sidework.jobs AS job
            WHERE job.state = 'available' AND job.lane > lanes.lane AND job.lane < lanes.before
            ORDER BY job.lane LIMIT 1), before
    FROM lanes WHERE lane IS NOT NULL)
SELECT lane FROM lanes WHERE lane IS NOT NULL LIMIT :most::bigint
