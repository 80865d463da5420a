-- What waits, after a pair given: whether its parent has ended (or is gone) unnoticed. A walk, some at a time.
-- What is to wait for one that is gone stays so in a closed queue: a copy fills it, in the order of ids.
SELECT edge.parent, edge.child,
       CASE WHEN parent.id IS NOT NULL THEN parent.finished_at IS NOT NULL
            ELSE NOT EXISTS (SELECT 1 FROM jobs AS child JOIN queues ON queues.name = child.lane
                             WHERE child.id = edge.child AND queues.paused_at IS NOT NULL) END
FROM edges AS edge INDEXED BY edges_open LEFT JOIN jobs AS parent ON parent.id = edge.parent
WHERE edge.done = 0 AND (edge.parent, edge.child) > (:parent, :child)
ORDER BY edge.parent, edge.child LIMIT :limit
