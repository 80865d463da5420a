-- Final jobs of one state that ended before a moment, oldest first, locked. Bounded.
-- One whose output a live job takes is kept for it, as is one whose end has not been followed.
-- Unlike on SQLite they are not deleted yet (prune_gone.sql).
SELECT id FROM sidework.jobs AS job
WHERE state = :state AND finished_at IS NOT NULL AND finished_at <= :before::bigint
  AND (SELECT true FROM sidework.edges AS edge JOIN sidework.jobs AS child ON child.id = edge.child
       WHERE edge.parent = job.id AND (child.finished_at IS NULL OR NOT edge.done) LIMIT 1) IS NULL
ORDER BY finished_at LIMIT :limit::bigint
FOR UPDATE SKIP LOCKED
