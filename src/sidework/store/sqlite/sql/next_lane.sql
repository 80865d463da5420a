-- The next (lane, runner) that has available jobs, after the one given: one seek per lane. Written as
-- two, for a comparison of the pair seeks by the lane alone and reads through all of it (80 ms at 1M jobs).
SELECT lane, runner FROM (
    SELECT lane, runner FROM jobs INDEXED BY jobs_available
    WHERE state = 'available' AND lane = :lane AND runner > :runner
    ORDER BY runner LIMIT 1)
UNION ALL
SELECT lane, runner FROM (
    SELECT lane, runner FROM jobs INDEXED BY jobs_available
    WHERE state = 'available' AND lane > :lane
    ORDER BY lane, runner LIMIT 1)
LIMIT 1
