-- A job that is retried waits anew for those of its inputs that are not final, and its callbacks are
-- enqueued again at its end.
-- Unlike on SQLite it tells for whom it waits: one of them may end meanwhile.
UPDATE sidework.edges AS edge
SET done = parent <> child AND (SELECT true FROM sidework.jobs WHERE id = edge.parent AND finished_at IS NULL) IS NULL
WHERE child = :id::uuid
RETURNING parent, parent <> child AND NOT done
