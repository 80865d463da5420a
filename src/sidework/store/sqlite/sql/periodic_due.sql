-- Periodics that are due, the longest first, those behind a mark; and whether the job of the last tick is live.
SELECT name, spec, version, next_at, look_at, last_at, last_job, paused_at, paused_by, paused_why, retired_at,
       (SELECT state FROM jobs WHERE id = last_job) IN ('blocked', 'scheduled', 'available', 'running', 'retryable')
FROM periodics
WHERE look_at <= :now AND (look_at, name) > (:after_at, :after)
      AND paused_at IS NULL AND retired_at IS NULL
ORDER BY look_at, name LIMIT :limit
