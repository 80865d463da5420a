-- What waits for a job that has ended (or is gone) and has not been counted yet. Bounded.
SELECT edge.parent, edge.child, edge.policy, coalesce(parent.state, 'gone')
FROM edges AS edge INDEXED BY edges_open LEFT JOIN jobs AS parent ON parent.id = edge.parent
WHERE edge.done = 0 AND edge.parent = :parent AND (parent.id IS NULL OR parent.finished_at IS NOT NULL)
ORDER BY edge.child LIMIT :limit
