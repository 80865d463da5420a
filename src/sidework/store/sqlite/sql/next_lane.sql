-- The next (lane, runner) that has available jobs, after the one given: one seek per lane.
SELECT lane, runner FROM jobs INDEXED BY jobs_available
WHERE state = 'available' AND (lane, runner) > (:lane, :runner)
ORDER BY lane, runner LIMIT 1
