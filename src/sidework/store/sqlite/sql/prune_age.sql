-- Final jobs of one state that ended before a moment, oldest first. Bounded. One whose output a live job takes
-- is kept for it, as is one whose end has not been followed. It may read through many that are kept.
SELECT id FROM jobs INDEXED BY jobs_final
WHERE state = :state AND finished_at <= :before
  AND NOT EXISTS (SELECT 1 FROM edges JOIN jobs AS child ON child.id = edges.child
                  WHERE edges.parent = jobs.id AND (child.finished_at IS NULL OR edges.done = 0))
ORDER BY finished_at LIMIT :limit
