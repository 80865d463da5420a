-- What waits for jobs that have ended (or are gone) and has not been counted yet. Bounded.
-- Unlike on SQLite for many at once, as for complete.sql.
SELECT edge.parent, edge.child, edge.policy
FROM unnest(:parent::uuid[]) AS asked (id),
LATERAL (SELECT parent, child, policy FROM sidework.edges
         WHERE parent = asked.id AND NOT done ORDER BY parent, child LIMIT :limit::bigint) AS edge
LEFT JOIN sidework.jobs AS parent ON parent.id = edge.parent
WHERE parent.id IS NULL OR parent.finished_at IS NOT NULL
LIMIT :limit::bigint
