-- What waits, after a pair given: whether its parent has ended (or is gone) unnoticed. A walk, some at a time.
-- Unlike on SQLite the stretch is cut out first: a row comparison is a range of the index only by itself.
-- What is to wait for one that is gone stays so in a closed queue: a copy fills it, in the order of ids.
SELECT edge.parent, edge.child,
       CASE WHEN parent.id IS NOT NULL THEN parent.finished_at IS NOT NULL
            ELSE (SELECT true FROM sidework.jobs AS child JOIN sidework.queues ON queues.name = child.lane
                  WHERE child.id = edge.child AND queues.paused_at IS NOT NULL) IS NULL END
FROM (SELECT parent, child FROM sidework.edges
      WHERE NOT done AND (parent, child) > (:parent::uuid, :child::uuid)
      ORDER BY parent, child LIMIT :limit::bigint) AS edge
LEFT JOIN sidework.jobs AS parent ON parent.id = edge.parent
ORDER BY edge.parent, edge.child
