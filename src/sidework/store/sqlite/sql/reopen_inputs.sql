-- A job that is retried waits anew for those of its inputs that are not final, and its callbacks are
-- enqueued again at its end.
UPDATE edges SET done = parent <> child AND NOT EXISTS (
    SELECT 1 FROM jobs WHERE id = edges.parent AND finished_at IS NULL)
WHERE child = :id
RETURNING parent <> child AND NOT done
